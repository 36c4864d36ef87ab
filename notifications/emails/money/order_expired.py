"""The hold of an unpaid order ran out. Says how to get the classes again."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from csf.web.fast_reverse import fixed_path
from notifications.facts.recipients import ordering_family
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ORDER, ROBOTICS, SWIMMING
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger, after
from orders.models import OrderOrigin, OrderStatus, OrderTransition
from orders.waitlist import is_promotion

LATE_MONEY = timedelta(minutes=5)  # a payment of the last moment may be reported after the hold


def snapshot(fact: OrderTransition) -> Snapshot:
    """The classes as they are now shown to everybody."""
    order = fact.order
    items = order.items.select_related("child", "course__location")
    return order_facts(order) | {
        "held_until": order.held_until and order.held_until.isoformat(),
        "classes_path": fixed_path("catalog"),
        "places": [course_facts(item.course) | {"child": str(item.child)} for item in items],
    }


def owes(moved: OrderTransition) -> bool:
    """A seat from the waitlist has emails of its own."""
    return moved.to_status == OrderStatus.EXPIRED and not is_promotion(moved.order)


def still_expired(facts: Iterable[int]) -> set[int]:
    expired = OrderTransition.objects.filter(pk__in=facts, order__status=OrderStatus.EXPIRED)
    return set(expired.values_list("pk", flat=True))


def _expired(places: list[Snapshot], **changes: Any) -> Snapshot:
    facts = {
        "first_name": "Maria",
        "held_until": "2026-08-29T21:35:12+00:00",
        "classes_path": "/",
        "places": places,
    }
    return ORDER | facts | changes


SAMPLES: Samples = {
    "minimal": _expired([SWIMMING | {"child": "Noah Lopez"}], first_name="", held_until=None),
    "typical": _expired([ROBOTICS | {"child": "Noah Lopez"}, SWIMMING | {"child": "Emma Lopez"}]),
    "huge": _expired([ROBOTICS | {"course": LONG, "child": f"{LONG} {n}"} for n in range(100)]),
    "hostile": _expired([HOSTILE_CLASS | {"child": HOSTILE}], first_name=HOSTILE),
}

EMAIL = Email(
    kind="order_expired",
    title=_("Places no longer held"),
    when="the hold of an unpaid order ran out, unless money arrives within 5 minutes",
    topic="money",
    trigger=Trigger(OrderTransition, owes=owes, order="order"),
    required_for=RequiredFor(
        OrderTransition.objects.exclude(order__origin=OrderOrigin.WAITLIST).filter(to_status="expired"),
        household="order__household",
        about="order",
    ),
    recipients=ordering_family,
    family=attrgetter("order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"order:{fact.order_id}:expired",
    accent="orange",
    is_copy_harmless=True,
    expires=after(timedelta(hours=24)),
    delay=lambda fact: LATE_MONEY,
    priority=3,
    still_true=still_expired,
    samples=SAMPLES,
)
