"""An order is paid and all its places are confirmed: one email in place of receipt and confirmations.

`notifications.bundling` queues it if `EMAIL_BUNDLE_ORDERS` is on.
"""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.models import Payment
from enrollments.models import EnrollmentStatus, EnrollmentTransition
from notifications.emails.money import payment_success
from notifications.facts.recipients import paying_family
from notifications.facts.samples import (
    HOSTILE,
    HOSTILE_CLASS,
    LONG,
    ROBOTICS,
    SWIMMING,
    calendar,
    enrollment,
    payment,
)
from notifications.facts.snapshots import enrollment_snapshot
from notifications.spec import Email, Samples, Snapshot, after


def snapshot(fact: Payment) -> Snapshot:
    """The receipt, and for each place what its own confirmation would say."""
    joined = EnrollmentTransition.objects.filter(
        enrollment__order_item__order=fact.order, to_status=EnrollmentStatus.ACTIVE
    )
    newest = {row.enrollment_id: row for row in joined.select_related("enrollment__child").order_by("pk")}
    places = [enrollment_snapshot(row) for row in newest.values()]
    return payment_success.snapshot(fact) | {
        "enrolled": places,
        "calendars": [calendar for place in places for calendar in place.pop("calendars")],
    }


def _paid(places: list[Snapshot], **changes: Any) -> Snapshot:
    calendars = [calendar(place) for place in places[:3]]
    return payment(**{"enrolled": [enrollment(place) for place in places], "calendars": calendars} | changes)


SAMPLES: Samples = {
    "minimal": _paid([SWIMMING | {"address": ""}], first_name="", left_cents=0, number=1, of=1),
    "typical": _paid([ROBOTICS, SWIMMING]),
    "huge": _paid([ROBOTICS | {"course": LONG}] * 12, first_name=LONG, amount_cents=123_456_789),
    "hostile": _paid([HOSTILE_CLASS], first_name=HOSTILE, card_brand=HOSTILE),
}

EMAIL = Email(
    kind="order_paid",
    title=_("Order paid, places confirmed"),
    when="with `EMAIL_BUNDLE_ORDERS`: the payment that confirms an order, in place of `payment_success` and "
    "each `enrollment_confirmation`, whose rows stay and name this email",
    topic="money",
    of_order=lambda order: order.payments.order_by("-pk").first(),
    recipients=paying_family,
    family=attrgetter("order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"payment:{fact.pk}",
    accent="green",
    is_copy_harmless=False,
    expires=after(timedelta(days=7)),
    priority=3,
    samples=SAMPLES,
)
