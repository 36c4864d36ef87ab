"""The priority waitlist got its seat, and the saved card has paid for it if it costs anything."""

from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import ChargeAttempt, ChargeKind, ChargeStatus
from notifications.facts import waitlist
from notifications.facts.recipients import order_family
from notifications.facts.samples import ORDER
from notifications.spec import Email, Snapshot, Trigger, after
from orders.models import OrderStatus, OrderTransition
from orders.waitlist import is_promotion


def owes(moved: OrderTransition) -> bool:
    is_confirmed = moved.to_status == OrderStatus.CONFIRMED and is_promotion(moved.order)
    return is_confirmed and not _was_paid_by_parent(moved)


def _was_paid_by_parent(moved: OrderTransition) -> bool:
    """A parent who paid with another card after a decline knows it."""
    attempts = ChargeAttempt.objects.filter(installment__order=moved.order_id)
    return attempts.filter(kind=ChargeKind.CHECKOUT, status=ChargeStatus.SUCCEEDED).exists()


def snapshot(fact: OrderTransition) -> Snapshot:
    order = fact.order
    charged = ChargeAttempt.objects.filter(installment__order=order, status=ChargeStatus.SUCCEEDED)
    attempt = charged.select_related("card").first()
    card = attempt.card if attempt else None
    return waitlist.ordered_place_facts(order) | {
        "amount_cents": order.total_cents,
        "card_brand": card.brand if card else "",
        "card_last4": card.last4 if card else "",
    }


EMAIL = Email(
    kind="waitlist_promoted",
    title=_("Enrolled from the waitlist"),
    when="the priority tier got its seat",
    topic="places",
    trigger=Trigger(OrderTransition, owes=owes, order="order"),
    recipients=order_family,
    family=attrgetter("order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"order:{fact.order_id}:promoted",
    accent="green",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    priority=3,
    samples=waitlist.samples(
        waitlist.place(amount_cents=18_000, card_brand="visa", card_last4="4242", **ORDER),
        free={"amount_cents": 0, "card_brand": "", "card_last4": ""},
    ),
)
