"""While Stripe does not answer, nobody waits for it.

It counts calls without an answer, and those that Stripe could not handle: 5xx, and 429 for too many. After
OPEN_AFTER of them in a row, over all processes, Stripe counts as down until it answers one.

A process that has missed one itself then answers its next calls at once, and lets one through every
PROBE_EVERY_S. The loops of workers do not even start work that needs Stripe: each time the rest is over, one
of them tries. While everything works this costs nothing: pages look at the shared count only after a call
that failed.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import stripe

from billing.stripe import secret_key
from csf.jobs.queue import enqueue_once
from csf.jobs.time_budget import within
from csf.models import Breaker

Row = TypeVar("Row")

NAME = "stripe"
OPEN_AFTER = 3
PROBE_EVERY_S = 20.0
WAITS = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]
LAST_WAIT = timedelta(days=1)
"""After each try of a call without a usable answer, and after all later ones."""
# What may have waited for an answer. Sweeps come too, but whoever waited has waited long enough.
WAITING = ["billing.tasks.process_events", "billing.tasks.charge", "billing.tasks.refund"]


class NotAsked(stripe.APIConnectionError):
    """Nothing was sent: Stripe counts as down, or there is no time left to wait for it."""


class _Here:
    """What this process knows."""

    lock = threading.Lock()
    has_failed = False
    next_probe_at = 0.0  # monotonic; zero is closed


# --- Before a call ------------------------------------------------------------------------------------------


def must_not_ask() -> bool:
    """Whether Stripe counts as down. False for the one caller that may try."""
    with _Here.lock:
        now = time.monotonic()
        if _Here.next_probe_at and now >= _Here.next_probe_at:
            _Here.next_probe_at = now + PROBE_EVERY_S
            return False
        return bool(_Here.next_probe_at)


def is_open_here() -> bool:
    return bool(_Here.next_probe_at)


def is_away() -> bool:
    """As all processes see it."""
    return Breaker.is_tripped(NAME, after=OPEN_AFTER)


def wait_to_ask_again(tries: int) -> timedelta:
    """About a call without a usable answer; the shortest wait if the reason is that Stripe is away."""
    if is_away():
        return WAITS[0]
    return WAITS[tries - 1] if 1 <= tries <= len(WAITS) else LAST_WAIT


def may_begin() -> bool:
    """Whether a worker may start something that needs Stripe. While it is down, only one of all workers may,
    each time the rest is over."""
    away = is_away()
    if away and not Breaker.may_probe(NAME):
        return False
    with _Here.lock:
        _Here.next_probe_at = 0.0  # it is no longer down, or this is the try
        _Here.has_failed |= away  # so that an answer is noted for all
    return True


def while_it_answers(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of a worker's loop, until its time is up or Stripe is away."""
    for row in within(rows):
        if not may_begin():
            return
        yield row


# --- After a call -------------------------------------------------------------------------------------------


def note_failure(error: Exception) -> None:
    """What an error says about Stripe as a whole: away, overloaded or refusing our key, or just a no. Of
    dj-stripe's calls too, outside of their transaction."""
    match error:
        case NotAsked():
            return
        case stripe.APIConnectionError():
            not_answered()
        case stripe.APIError() | stripe.RateLimitError() if _is_about_all_calls(error):
            not_answered()
        case stripe.StripeError():
            answered()
    if isinstance(error, stripe.AuthenticationError):
        secret_key.refused(error.user_message or str(error))


def _is_about_all_calls(error: stripe.APIError | stripe.RateLimitError) -> bool:
    """A 429 may also mean that another request holds this one object (https://docs.stripe.com/rate-limits), a
    5xx may be one that is repeated for its idempotency key (https://docs.stripe.com/error-low-level)."""
    if isinstance(error, stripe.RateLimitError):
        return error.error is None or error.error.code != "lock_timeout"
    return (error.http_status or 0) >= 500 and "Idempotent-Replayed" not in (error.headers or {})


def not_answered() -> None:
    Breaker.failed(NAME)
    is_open = is_away()
    with _Here.lock:
        _Here.has_failed = True
        if is_open:
            _Here.next_probe_at = time.monotonic() + PROBE_EVERY_S


def answered() -> None:
    if _Here.has_failed:
        was_away = is_away()
        Breaker.answered(NAME)
        close()
        for task in WAITING if was_away else ():
            enqueue_once(task)


def close() -> None:
    with _Here.lock:
        _Here.has_failed, _Here.next_probe_at = False, 0.0
