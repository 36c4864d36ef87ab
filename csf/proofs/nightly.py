"""The nightly proof that the rows do not contradict each other, in slices that fit into the queue's time.

Once a week it checks everything, on the other nights large tables only as far as they have changed since the
last proof. An invariant that was broken is checked completely until it holds again.
"""

import datetime
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import F, Q

from csf.clock import Now
from csf.dates import local_date
from csf.jobs.time_budget import within
from csf.models import Instance, ProofRun
from csf.proofs.invariants import Invariant, Violation, look, read_one_snapshot, registered

AT = datetime.time(6, 10)  # after the night's jobs that compare, purge and end things
FULL_EVERY = timedelta(days=6, hours=12)
OVERLAP = timedelta(hours=1)  # a transaction that was open at the last proof was not seen by it
MAX_AGE = timedelta(hours=26)
ONE_TAKES_AT_MOST_S = 25  # after a slice of as much, it is still below the 60 s of a task


def prove(*, now: datetime.datetime) -> bool:
    """Continue the proof that is due; True if there is more to do."""
    run = _claim(now)
    if run is None:
        return False
    before = ProofRun.objects.finished().order_by("-pk").first()
    known = {found["broken"] for found in before.broken} if before else set()
    left = list(registered())[run.looked_at :]
    for invariant in within(left):
        _note(run, _look(invariant, None if invariant.broken in known else run.since))
    run.refresh_from_db()
    is_over = run.looked_at >= len(list(registered()))
    ProofRun.objects.filter(pk=run.pk).update(leased_until=None, finished_at=Now() if is_over else None)
    return not is_over


def _claim(now: datetime.datetime) -> ProofRun | None:
    """The run that is in progress, or due, if no other worker has it."""
    unfinished = ProofRun.objects.filter(finished_at=None)
    if not unfinished.exists():
        _begin(now)
    free = Q(leased_until=None) | Q(leased_until__lt=Now())
    taken = unfinished.filter(free).update(leased_until=Now() + ProofRun.LEASE)
    return unfinished.first() if taken else None


def _begin(now: datetime.datetime) -> None:
    due_at = datetime.datetime.combine(local_date(now), AT, tzinfo=ZoneInfo(settings.SCHOOL_TIME_ZONE))
    if now < due_at or ProofRun.objects.filter(began_at__gte=due_at).exists():
        return
    last = ProofRun.objects.finished().order_by("-began_at").first()
    was_full = ProofRun.objects.finished().filter(mode=ProofRun.Mode.FULL, began_at__gt=now - FULL_EVERY)
    run = ProofRun(mode=ProofRun.Mode.FULL)
    if last and was_full.exists():
        run = ProofRun(mode=ProofRun.Mode.RECENT, since=last.began_at - OVERLAP)
    ProofRun.objects.bulk_create([run], ignore_conflicts=True)


def _look(invariant: Invariant, since: datetime.datetime | None) -> Violation | None:
    try:
        with transaction.atomic():
            read_one_snapshot()
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{ONE_TAKES_AT_MOST_S}s'")
            return look(invariant, since)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "57014":  # not the timeout
            raise
        too_slow = f"could not check within {ONE_TAKES_AT_MOST_S} s for {invariant.broken}"
        return Violation(invariant.number, too_slow, [])


def _note(run: ProofRun, found: Violation | None) -> None:
    """At once, so that a worker that is killed costs one invariant only."""
    if found:
        run.broken.append(found.as_json())
    ProofRun.objects.filter(pk=run.pk).update(looked_at=F("looked_at") + 1, broken=run.broken)


def record(found: list[Violation], *, began_at: datetime.datetime) -> None:
    """A full check that a person started."""
    ProofRun.objects.create(
        mode=ProofRun.Mode.FULL,
        began_at=began_at,
        finished_at=Now(),
        looked_at=len(list(registered())),
        broken=[violation.as_json() for violation in found],
    )


def troubles(*, now: datetime.datetime) -> Iterator[tuple[str, str]]:
    """What a person should know: the name of an alert, and words that contain nothing from the rows."""
    last = ProofRun.objects.finished().order_by("-began_at").first()
    if last and last.broken:
        numbers = ", ".join(sorted({found["number"] for found in last.broken}))
        yield "invariants_broken", f"some rows contradict each other: {numbers}; see Operations, Proofs"
    since = last.finished_at if last else Instance.objects.values_list("created_at", flat=True).first()
    if since and now - since > MAX_AGE:
        yield "proof_late", f"rows have not been checked for contradictions for {MAX_AGE}"
