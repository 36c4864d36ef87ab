"""While Stripe does not answer, nobody waits for it.

After OPEN_AFTER calls in a row without an answer, counted over all processes, a process that misses one too
answers its next calls at once. It lets one through every PROBE_EVERY_S, and is closed again by the first
answer. While all is well this costs nothing: the shared count is looked at only after a call that failed.
"""

import threading
import time

from django.core.cache import cache

OPEN_AFTER = 5
PROBE_EVERY_S = 20.0
COUNT = "stripe_unanswered"  # in the shared cache
COUNT_LIFE_S = 120  # what happened longer ago is not "in a row"


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
