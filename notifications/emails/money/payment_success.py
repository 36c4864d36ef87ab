"""A payment arrived: the receipt."""

from datetime import timedelta
from operator import attrgetter

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from billing.models import Payment
from billing.models.installments import OPEN_INSTALLMENT
from enrollments.models import EnrollmentStatus
from notifications.facts.recipients import paying_family
from notifications.facts.samples import HOSTILE, LONG, payment
from notifications.facts.snapshots import bought_facts, course_facts, order_facts
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger, after
from orders.models import Order, OrderItem


def snapshot(fact: Payment) -> Snapshot:
    parts = list(fact.order.installments.all())
    number = fact.installment.number if fact.installment else None
    still_open = [part for part in parts if part.status in OPEN_INSTALLMENT]
    following = min(still_open, key=lambda part: part.due_on, default=None)
    return order_facts(fact.order) | {
        "amount_cents": fact.amount_cents,
        "received_at": fact.received_at.isoformat(),
        "card_brand": fact.card_brand,
        "card_last4": fact.card_last4,
        "reference": str(fact.public_id)[:8].upper(),
        "number": number,
        "of": len(parts),
        "left_cents": sum(part.amount_cents for part in still_open),
        "next_due_on": following and following.due_on.isoformat(),
        "next_amount_cents": following and following.amount_cents,
        "places": [
            course_facts(item.course) | bought_facts(item) | {"child": str(item.child)}
            for item in _kept_items(fact.order)
        ],
    }


def _kept_items(order: Order) -> QuerySet[OrderItem]:
    """Without what was moved to another class or cancelled."""
    items = order.items.filter(moved_to=None).exclude(enrollment__status=EnrollmentStatus.CANCELLED)
    items = items.select_related("child", "course__location", "enrollment", "order")
    return items.prefetch_related("course__sessions")


SAMPLES: Samples = {
    "minimal": payment(first_name="", card_brand="", card_last4="", number=None, of=0, left_cents=0),
    "typical": payment(),
    "last": payment(number=3, left_cents=0, next_due_on=None, next_amount_cents=None),
    "huge": payment(
        first_name=LONG, amount_cents=123_456_789, number=12, of=12, left_cents=0, card_brand="amex"
    ),
    "hostile": payment(first_name=HOSTILE, card_brand=HOSTILE),
}

EMAIL = Email(
    kind="payment_success",
    title=_("Payment received"),
    when="a payment is recorded",
    topic="money",
    trigger=Trigger(Payment, order="order"),
    required_for=RequiredFor(Payment.objects.all(), household="order__household"),
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
