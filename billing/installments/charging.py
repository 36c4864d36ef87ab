"""The workers that carry out attempts to charge saved cards: how many, how fast, and for how long."""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import repeat

from django.conf import settings
from django.db import connection

from billing.installments.attempts import ask_again, run_attempt
from billing.installments.outcomes import look_later
from billing.installments.prepared_statements import prepare_statements
from billing.models import (
    ChargeAttempt,
    ChargeStatus,
)
from billing.models.charges import ChargeAttemptQuerySet
from billing.stripe import breaker
from csf.clock import Now
from csf.database.advisory_locks import free_slot
from csf.jobs import time_budget
from csf.jobs.for_each import try_one
from csf.jobs.queue import enqueue
from csf.models import Instance
from csf.state import Stale

logger = logging.getLogger(__name__)


BUDGET_S = 30.0
AT_ONCE = 2000  # more than BUDGET_S lets all workers charge, so that the threads never wait for the last
MANY = 20  # waiting attempts that are worth a second worker beside this one
LOCK_CLASS = 20_262  # of its slots
PARKED_AT_ONCE = 20


def charge_waiting() -> bool:
    """Carry out the attempts that wait, as one of STRIPE_CHARGE_WORKERS, STRIPE_CHARGE_THREADS at once; all
    workers together not above STRIPE_CHARGES_PER_S.

    Stops after BUDGET_S; True if some are left, a worker is free for them and Stripe answers. In quarantine
    all wait, and none counts a try.
    """
    if Instance.why_quarantined():
        return False
    workers: int = settings.STRIPE_CHARGE_WORKERS
    with free_slot(LOCK_CLASS, of=workers) as slot:
        if slot is None:
            return False
        if _waiting()[MANY:].exists():
            enqueue("billing.tasks.charge")  # a second worker charges on another core
        deadline = time_budget.ends_at(BUDGET_S)
        pace = Pace(settings.STRIPE_CHARGES_PER_S / workers)
        while time.monotonic() < deadline and (ids := _share(slot, of=workers)):
            is_try = breaker.is_away()
            if not breaker.may_begin():
                return False
            shared = [iter(ids[:1] if is_try else ids)] * settings.STRIPE_CHARGE_THREADS
            with ThreadPoolExecutor(len(shared)) as pool:
                list(pool.map(_run_in_thread, shared, repeat(pace), repeat(deadline)))
    return _waiting().exists()


def _waiting() -> ChargeAttemptQuerySet:
    return ChargeAttempt.objects.on_saved_cards().waiting()


def _share(slot: int, *, of: int) -> list[int]:
    """The ids for one of so many workers, so that they do not all try to claim the same; who is done with its
    own helps the others."""
    ids = list(_waiting().order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return [pk for pk in ids if pk % of == slot] or ids


def _run_in_thread(shared: Iterator[int], pace: "Pace", deadline: float) -> None:
    """Take one attempt after the other, on a database connection and a session at Stripe of its own."""
    prepare_statements()
    try:
        for attempt_id in shared:
            pace.wait()
            if time.monotonic() > deadline or breaker.is_open_here():
                return
            # If one fails, its lease ends and the sweep picks it up.
            try_one(run_attempt, attempt_id, doing="charging")
    finally:
        connection.close()


class Pace:
    """At most so many a second, over all threads that share it; zero is no limit."""

    def __init__(self, per_second: float) -> None:
        self._gap_s = 1 / per_second if per_second else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            mine = max(self._next, now)
            self._next = mine + self._gap_s
        time.sleep(mine - now)


def recover_charges() -> None:
    """Each minute: mark attempts whose worker was lost as unknown, and check parked ones again once a day."""
    attempts = ChargeAttempt.objects.on_saved_cards()
    lost = attempts.filter(status=ChargeStatus.SENDING, leased_until__lt=Now())
    for attempt in lost.select_related("installment"):
        with suppress(Stale):
            look_later(attempt, "the worker was lost")
    parked = attempts.filter(status=ChargeStatus.PARKED, next_look_at__lte=Now())
    for attempt in breaker.while_it_answers(parked[:PARKED_AT_ONCE]):
        ask_again(attempt.installment.order)
