"""When the staff tasks about emails are over: see `csf.staff.tasks`."""

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower

from csf.staff.tasks import closed_by_hand, open_while
from enrollments.models import Household, User
from notifications.models import EmailMessage, EmailStatus, Suppression
from notifications.task_kinds import EmailTask


def _suppressed() -> QuerySet[Suppression]:
    """In force, at an address that someone still has."""
    used = User.objects.annotate(lower=Lower("email")).filter(lower=OuterRef("address"), is_active=True)
    return Suppression.objects.in_force().filter(Exists(used))


def _to_dead_addresses() -> QuerySet[EmailMessage]:
    dead = _suppressed().filter(address=Lower(OuterRef("to")), cause=Suppression.Cause.BOUNCED)
    return EmailMessage.objects.filter(Exists(dead))


def _complained(key: str) -> QuerySet[Suppression]:
    return _suppressed().filter(address=Lower(OuterRef(key)), cause=Suppression.Cause.COMPLAINED)


def _without_guardian() -> QuerySet[Household]:
    active = User.objects.filter(household=OuterRef("pk"), is_active=True)
    return Household.objects.filter(~Exists(active))


# A notice that we have no words for is not failed, but a person has to see it.
_to_look_at = Q(status=EmailStatus.FAILED) | Q(kind="account_notice")
open_while(EmailTask.EMAIL_FAILED, lambda: EmailMessage.objects.filter(_to_look_at))
open_while(EmailTask.EMAIL_UNKNOWN, lambda: EmailMessage.objects.filter(status=EmailStatus.UNKNOWN))
open_while(EmailTask.EMAIL_BOUNCED, _to_dead_addresses)
open_while(EmailTask.EMAIL_COMPLAINED, lambda: EmailMessage.objects.filter(Exists(_complained("to"))))
open_while(
    EmailTask.EMAIL_COMPLAINED,
    lambda: Household.objects.filter(
        Exists(User.objects.filter(Exists(_complained("email")), household=OuterRef("pk")))
    ),
)
open_while(EmailTask.EMAIL_SUPPRESSED, _suppressed)
open_while(EmailTask.NOBODY_TO_NOTIFY, _without_guardian)
closed_by_hand(EmailTask.EMAIL_SENDER_BLOCKED, "Nothing is sent to find out.")
closed_by_hand(EmailTask.EMAILS_WITHHELD, "Emails that nobody needs any more may stay withheld.")
closed_by_hand(EmailTask.EMAIL_WITHOUT_FILE, "A person sees that the family gets the file.")
