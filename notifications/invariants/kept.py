"""About stored data: not kept too long, not readable by everyone, and nothing about an erased family."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from csf import clock
from csf.dates import start_of_day
from csf.encryption import VERSION, Unreadable, encrypted_fields
from csf.jobs.queue import tasks_with_more_than_ids
from csf.proofs.invariants import Invariant, last_before, pks
from enrollments.models import Child, EmergencyContact, User
from notifications.family_data.erase import ERASED, GONE, NO_ADDRESS
from notifications.models import FINAL, EmailMessage
from notifications.purge import steps_until
from notifications.registry import SENSITIVE

PURGE_LATE = timedelta(days=2)
FINISHED_WITHIN = timedelta(days=7)
SAMPLE = 50


def _opens_an_account(since: datetime | None = None) -> Any:
    """Secrets that open an account are deleted as soon as the email is finished, which is within hours."""
    readable = Q(kind__in=SENSITIVE) & ~Q(html="", text="")
    mark = last_before(EmailMessage, since and since - FINISHED_WITHIN)
    return pks(EmailMessage.objects.filter(~Q(secret="") | readable, status__in=FINAL, pk__gt=mark))


def _kept_too_long() -> Iterator[str]:
    """The purge of every night has left them, two nights in a row."""
    midnight = start_of_day(clock.today())
    for name, (rows, _) in steps_until(midnight - PURGE_LATE).items():
        yield from (f"{name} {pk}" for pk in pks(rows)[:SAMPLE])


def _in_the_clear() -> Iterator[str]:
    for field in encrypted_fields():
        stored = field.model._default_manager.annotate(token=Cast(field.name, TextField()))
        readable = stored.exclude(token="").exclude(token=None).exclude(token__startswith=f"{VERSION}:")
        yield from (f"{field} {pk}" for pk in pks(readable))


def _unreadable() -> Iterator[str]:
    """A sample: the newest, each with the key of its own row."""
    for field in encrypted_fields():
        stored = field.model._default_manager.annotate(token=Cast(field.name, TextField()))
        for row in stored.filter(token__startswith=f"{VERSION}:").order_by("-pk")[:SAMPLE]:
            try:
                getattr(row, field.name)
            except Unreadable:
                yield f"{field} {row.pk}"


def _not_quite_erased() -> Iterator[str]:
    """Rows of erased families that still name someone."""
    people = User.objects.filter(household__name=ERASED)
    left = {
        "user": people.exclude(email__endswith=NO_ADDRESS, first_name="", last_name="", is_active=False),
        "child": Child.objects.filter(household__name=ERASED).exclude(first_name=GONE, last_name=""),
        "contact": EmergencyContact.objects.filter(child__household__name=ERASED),
        "email": EmailMessage.objects.filter(recipient__in=people).exclude(
            to__endswith=NO_ADDRESS, subject="", html="", text=""
        ),
    }
    for name, rows in left.items():
        yield from (f"{name} {pk}" for pk in pks(rows))


INVARIANTS = [
    Invariant("P2", "encrypted columns that hold plain text", _in_the_clear),
    Invariant("P2", "encrypted texts that cannot be read", _unreadable),
    Invariant("P3", "queued tasks that hold more than ids", tasks_with_more_than_ids),
    Invariant("P4", "erased families that are still named", _not_quite_erased),
    Invariant("P5", "finished emails whose secrets are still stored", _opens_an_account, _opens_an_account),
    Invariant("P5", "data that the purge should have deleted", _kept_too_long),
]
