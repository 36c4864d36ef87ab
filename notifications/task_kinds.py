from django.db import models

from csf.models import task_kinds


@task_kinds
class EmailTask(models.TextChoices):
    """Staff tasks about emails."""

    EMAIL_FAILED = "email_failed", "An email that could not be sent"
    EMAIL_WITHOUT_FILE = "email_without_file", "Emails that were sent without their calendar file"
    EMAIL_BOUNCED = "email_bounced", "An address that takes no mail"
    EMAIL_COMPLAINED = "email_complained", "A family that called our email spam"
    EMAIL_SUPPRESSED = "email_suppressed", "An email that its address cannot get"
    EMAIL_SENDER_BLOCKED = "email_sender_blocked", "SendGrid takes no email from this account"
    NOBODY_TO_NOTIFY = "nobody_to_notify", "A family that no email can reach"
    EMAIL_UNKNOWN = "email_unknown", "An email that may or may not have been sent"
    EMAILS_WITHHELD = "emails_withheld", "Emails that another installation may have sent"
