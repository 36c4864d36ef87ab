"""Letting a restored or copied installation act again."""

from django.conf import settings
from django.db import transaction

from billing.installments.staging import leave_live_mode_alone
from csf.clock import Now
from csf.models import Instance
from csf.state import move_rows
from notifications.models import UNFINISHED, EmailMessage, EmailStatus


@transaction.atomic
def lift_quarantine() -> int:
    """Take the configured name and allow emails and charges; return how many emails were withheld.

    The original may have sent what was queued before the quarantine began, so no copy of it is sent. A
    database that only has another name does not know since when: everything queued until now is withheld.
    """
    began = Instance.objects.values_list("quarantined_at", flat=True).first()
    unfinished = EmailMessage.objects.filter(status__in=UNFINISHED | {EmailStatus.UNKNOWN})
    withheld = move_rows(
        unfinished.filter(created_at__lt=began or Now()),
        EmailStatus.WITHHELD,
        secret="",
        leased_until=None,
        error="withheld: it was queued before the quarantine began",
    )
    if settings.STAGING_EMAILS_TO:
        leave_live_mode_alone()
    if withheld:
        EmailMessage.report_withheld()
    Instance.lift_quarantine()
    return withheld
