"""While Stripe does not answer, nobody waits for it.

Counted are calls without an answer, and those that Stripe could not work on: 5xx, and 429 for too many. After
OPEN_AFTER of them in a row, over all processes, a process that misses one too answers its next calls at once.
It lets one through every PROBE_EVERY_S, and is closed again by the first answer; a no is one too. While all
is well this costs nothing: the shared count is looked at only after a call that failed.
"""

import threading
import time

import stripe
from django.core.cache import cache

from billing import stripe_key

OPEN_AFTER = 5
PROBE_EVERY_S = 20.0
COUNT = "stripe_unanswered"  # in the shared cache
COUNT_LIFE_S = 120  # what happened longer ago is not "in a row"


class NotAsked(stripe.APIConnectionError):
    """Nothing was sent: Stripe counts as away, or there is no time left to wait for it."""


class _Here:
    """What this process knows."""

    lock = threading.Lock()
    has_failed = False
    next_probe_at = 0.0  # monotonic; zero is closed


def must_not_ask() -> bool:
    """Whether Stripe counts as away. False for the one caller whose turn it is to try."""
    with _Here.lock:
        now = time.monotonic()
        if _Here.next_probe_at and now >= _Here.next_probe_at:
            _Here.next_probe_at = now + PROBE_EVERY_S
            return False
        return bool(_Here.next_probe_at)


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
        stripe_key.refused(error.user_message or str(error))


def _is_about_all_calls(error: stripe.APIError | stripe.RateLimitError) -> bool:
    """A 429 may also mean that another request holds this one object (https://docs.stripe.com/rate-limits), a
    5xx may be one that is repeated for its idempotency key (https://docs.stripe.com/error-low-level)."""
    if isinstance(error, stripe.RateLimitError):
        return error.error is None or error.error.code != "lock_timeout"
    return (error.http_status or 0) >= 500 and "Idempotent-Replayed" not in (error.headers or {})


def not_answered() -> None:
    cache.add(COUNT, 0, COUNT_LIFE_S)
    try:
        count = cache.incr(COUNT)
    except ValueError:  # it has just been forgotten
        count = 1
    cache.touch(COUNT, COUNT_LIFE_S)
    with _Here.lock:
        _Here.has_failed = True
        if count >= OPEN_AFTER:
            _Here.next_probe_at = time.monotonic() + PROBE_EVERY_S


def answered() -> None:
    if _Here.has_failed:
        cache.delete(COUNT)
        close()


def close() -> None:
    with _Here.lock:
        _Here.has_failed, _Here.next_probe_at = False, 0.0
