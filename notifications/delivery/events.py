"""What SendGrid reports about emails after accepting them: stored first, then folded into their state.

Events come late, twice, in any order, and before the answer to the post. So storing is idempotent, and
folding only moves an email up this ladder: sent, delivered, bounced or dropped, complained.
"""

import datetime
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce, Lower

from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.models import StaffTask
from csf.state import move_rows
from notifications.delivery.suppression import CHOOSES, reported_scope, suppress_reported
from notifications.models import DrainSignal, EmailEvent, EmailMessage, EmailStatus, Suppression
from notifications.task_kinds import EmailTask

FOLD_SIZE = 1000
MAX_ADDRESS = 254
CLOCKS_DIFFER = datetime.timedelta(minutes=5)  # SendGrid's and ours
ACCOUNT_STATUS_CHANGE = "account_status_change"
# Of two events in one batch, the later one in this order wins.
IN_ORDER = [
    EmailStatus.SENT,
    EmailStatus.DELIVERED,
    EmailStatus.DROPPED,
    EmailStatus.BOUNCED,
    EmailStatus.COMPLAINED,
]
STATUS_BY_NAME = {
    "processed": EmailStatus.SENT,
    "delivered": EmailStatus.DELIVERED,
    "bounce": EmailStatus.BOUNCED,
    "dropped": EmailStatus.DROPPED,
    "spamreport": EmailStatus.COMPLAINED,
}


def event_row(event: Mapping[str, Any]) -> EmailEvent:
    """The unsaved row of one event as SendGrid posts it. Raises KeyError, TypeError or ValueError if it is
    none."""
    name, address, at = _text(event["event"]), _text(event.get("email")), int(event["timestamp"])
    provider_id = _text(event.get("sg_message_id"))
    detail = _text(event.get("reason") or event.get("response") or event.get("url"))
    # SendGrid gives copies of one event new ids of their own, so what it says makes the key.
    said = "\0".join([provider_id, name, address, str(at), detail])
    outbox_id = _uuid(event.get("outbox_id"))
    is_by_address = not event.get("outbox_id") and len(address) <= MAX_ADDRESS
    return EmailEvent(
        key=hashlib.sha256(said.encode()).hexdigest(),
        outbox_id=outbox_id,
        name=name[:40],
        address=address if is_by_address else "",
        bounce_type=_text(event.get("type"))[:40],
        bounce_class=_text(event.get("bounce_classification"))[:40],
        detail=detail[:1000],
        provider_event_id=_text(event.get("sg_event_id"))[:100],
        happened_at=datetime.datetime.fromtimestamp(at, datetime.UTC),
    )


def _text(value: object) -> str:
    """In a form that PostgreSQL can store: reasons come from other people's servers, and one odd byte would
    lose the whole batch."""
    return str(value or "").encode(errors="replace").decode().replace("\0", "")


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def reported_status(event: EmailEvent) -> EmailStatus | None:
    """What the event says about its email; None for what changes nothing (deferred, opens, account
    notices)."""
    if reported_scope(event) == Suppression.Scope.NON_ESSENTIAL:
        return EmailStatus.COMPLAINED
    return STATUS_BY_NAME.get(event.name)


@again_after_deadlock
@transaction.atomic
def fold_events() -> int:
    """Move emails by the events that are not folded yet, and return how many events that were."""
    events = list(
        EmailEvent.objects.filter(folded_at=None)
        .order_by("pk")
        .select_for_update(skip_locked=True)[:FOLD_SIZE]
    )
    for event in events:
        if event.address and _may_come_without_ids(event):
            _match_by_address(event)
    emails = _locked({event.outbox_id for event in events if event.outbox_id})
    about = [(event, emails[event.outbox_id]) for event in events if event.outbox_id in emails]
    by_status: dict[EmailStatus, set[int]] = defaultdict(set)
    for event, email in about:
        if status := reported_status(event):
            by_status[status].add(email.pk)
    for status in IN_ORDER:
        ours = EmailMessage.objects.filter(pk__in=by_status[status])
        arrived = {"delivered_at": _arrived_at()} if status == EmailStatus.DELIVERED else {}
        sent_at = Coalesce("sent_at", Now())
        move_rows(ours, status, secret="", leased_until=None, sent_at=sent_at, **arrived)
    suppress_reported(about)
    did_not_arrive = by_status[EmailStatus.BOUNCED] | by_status[EmailStatus.DROPPED]
    _ask_staff(email for email in emails.values() if email.pk in did_not_arrive)
    for event in events:
        if event.name == ACCOUNT_STATUS_CHANGE:
            _account_changed(event)
    EmailEvent.objects.filter(pk__in=[event.pk for event in events]).update(folded_at=Now())
    return len(events)


def _may_come_without_ids(event: EmailEvent) -> bool:
    return event.name in CHOOSES or reported_status(event) in {
        EmailStatus.BOUNCED,
        EmailStatus.DROPPED,
        EmailStatus.COMPLAINED,
    }


def _match_by_address(event: EmailEvent) -> None:
    """If a server refuses an email long after accepting it, the event has no ids of the email, and some
    complaints have none either: it is about the newest email that the address had received by then."""
    to_address = EmailMessage.objects.alias(address=Lower("to")).filter(address=event.address.lower())
    had = to_address.filter(sent_at__lte=event.happened_at + CLOCKS_DIFFER).order_by("-sent_at", "-pk")
    event.outbox_id = had.values_list("public_id", flat=True).first()
    EmailEvent.objects.filter(pk=event.pk).update(outbox_id=event.outbox_id, address="")


def _locked(outbox_ids: set[UUID]) -> dict[UUID, EmailMessage]:
    """In one order, so that two folds with events of the same emails never wait in a circle."""
    emails = EmailMessage.objects.filter(public_id__in=outbox_ids).select_related("recipient").order_by("pk")
    light = emails.defer("html", "text", "context", "secret")
    return {email.public_id: email for email in light.select_for_update(no_key=True, of=("self",))}


def _arrived_at() -> Subquery:
    """Kept with the email: events are deleted after some weeks."""
    delivered = EmailEvent.objects.filter(outbox_id=OuterRef("public_id"), name="delivered")
    return Subquery(delivered.order_by("happened_at").values("happened_at")[:1])


def _ask_staff(emails: Iterable[EmailMessage]) -> None:
    for email in emails:
        StaffTask.open(EmailTask.EMAIL_BOUNCED, email, f"{email.get_kind_display()} did not arrive.")


def _account_changed(event: EmailEvent) -> None:
    """Only probes go out until it accepts email again; a person has to look in any case."""
    DrainSignal.break_off()
    DrainSignal.report_blocked(f"SendGrid's compliance team reports about our account: {event.bounce_type}")
