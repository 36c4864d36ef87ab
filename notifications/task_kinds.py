from django.db import models

from csf.models import task_kinds


@task_kinds
class EmailTask(models.TextChoices):
    """Staff tasks about emails."""

    EMAIL_FAILED = "email_failed", "Email that could not be sent"
    EMAIL_WITHOUT_FILE = "email_without_file", "Emails sent without their calendar file"
    EMAIL_BOUNCED = "email_bounced", "Address that does not accept email"
    EMAIL_COMPLAINED = "email_complained", "Family that marked our email as spam"
    EMAIL_SUPPRESSED = "email_suppressed", "Essential email to a suppressed address"
    EMAIL_SENDER_BLOCKED = "email_sender_blocked", "SendGrid refuses our emails"
    NOBODY_TO_NOTIFY = "nobody_to_notify", "Family that cannot be reached by email"
    EMAIL_UNKNOWN = "email_unknown", "Email that may or may not have been sent"
    EMAILS_WITHHELD = "emails_withheld", "Emails that another installation may have sent"
