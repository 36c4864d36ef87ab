"""What the emails about the waitlist share."""

from typing import Any

from enrollments.models import Enrollment
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, SWIMMING
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Samples, Snapshot
from orders.models import Order

ORDER = "enrollment__order_item__order"
FAMILY = "enrollment.child.household_id"


def place_facts(enrollment: Enrollment) -> Snapshot:
    return course_facts(enrollment.course) | {
        "child": str(enrollment.child),
        "child_first_name": enrollment.child.first_name,
    }


def ordered_place_facts(order: Order) -> Snapshot:
    """Of the one place that the priority waitlist ordered."""
    return order_facts(order) | place_facts(Enrollment.objects.get(order_item__order=order))


def place(**facts: Any) -> Snapshot:
    return SWIMMING | {"first_name": "Maria", "child": "Noah Lopez", "child_first_name": "Noah"} | facts


def samples(typical: Snapshot, **others: Snapshot) -> Samples:
    """The same facts for any family; `others` change some of them."""
    names: Snapshot = {"child": f"{LONG} {LONG}", "child_first_name": LONG, "first_name": LONG}
    hostile = HOSTILE_CLASS | {"child": HOSTILE, "child_first_name": HOSTILE, "first_name": HOSTILE}
    return {
        "minimal": typical | {"first_name": "", "address": ""},
        "typical": typical,
        "huge": typical | names | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
        "hostile": typical | hostile,
    } | {name: typical | changes for name, changes in others.items()}


ENDS_AT = "2026-08-30T09:00:12+00:00"
