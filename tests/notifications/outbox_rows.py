"""Emails in the outbox: queued, due, with a lost lease; and what the provider accepted."""

from collections import Counter
from datetime import timedelta

from csf.clock import Now
from csf.models import StaffTask
from notifications.models import DrainSignal, EmailMessage
from notifications.sending.results import recover_lost
from tests.factories import create_guardian, create_household
from tests.notifications.mails import SAMPLES

SECOND = timedelta(seconds=1)


def owe(count=1, *, local="pat", kind="enrollment_confirmation", **fields):
    """Due emails to `local`+1, +2, ... at example.org."""
    guardian = create_guardian(household=create_household(), first_name="Pat", last_name="O'Neil, Jr.")
    first = EmailMessage.objects.count()
    return EmailMessage.objects.bulk_create(
        EmailMessage(
            **{
                "kind": kind,
                "recipient": guardian,
                "to": f"{local}+{number}@example.org",
                "fact_id": number,
                "dedupe_key": f"{kind}:test:{number}",
                "context": SAMPLES[kind]["typical"],
            }
            | fields
        )
        for number in range(first, first + count)
    )


def states(*fields):
    """Rows as the database has them, by id."""
    return list(EmailMessage.objects.order_by("pk").values_list(*fields or ("status", "tries")))


def tasks_for_staff():
    return Counter(StaffTask.objects.open().values_list("kind", flat=True))


def posted(server):
    """How often each email came to the provider and was accepted."""
    return Counter(
        request["custom_args"]["outbox_id"] for request in server.requests() if request["accepted"]
    )


def make_due():
    EmailMessage.objects.filter(status="queued").update(next_attempt_at=Now() - SECOND)
    DrainSignal.objects.update(closed_until=None)


def lose_leases():
    EmailMessage.objects.filter(status="sending").update(leased_until=Now() - SECOND)
    recover_lost()


WHY = "the family called"
TOKEN = "IjZmMWI0YzFlLTUyYTci:1vFqTz:" + "k3J9-_aB" * 5 + "xyz"


def one(**fields):
    [row] = owe(1, **fields)
    return row


def acts_of(row):
    return [(act.act, act.by.first_name, act.reason) for act in row.acts.select_related("by")]


def state_of(row):
    row.refresh_from_db()
    return row.status
