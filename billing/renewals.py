"""Saved cards that change at Stripe without us: renewed by their network, removed, or gone with a customer.

An event is only a hint, and may be told late or twice: what counts is the card as Stripe has it now.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from billing import gateway
from billing.models import Card, Installment, InstallmentStatus
from billing.models.cards import CARD_GONE, card_columns
from billing.settle import try_again_with
from csf.contention import again_after_deadlock
from csf.dates import local_date
from csf.jobs import enqueue
from enrollments.models import Household
from orders.models import Order, OrderStatus


def look_at_card(method_id: str) -> None:
    """Read a saved card again, and write down what became of it. Safe to repeat, in any order.

    Raises what the gateway raises. A card that is gone does not come back: Stripe allows no second use.
    """
    card = Card.objects.filter(stripe_payment_method_id=method_id, gone_at=None).first()
    if card is None:
        return
    method = gateway.find_payment_method(method_id)
    if method is None or not method["customer"]:
        note_gone(card)
    else:
        note_renewed(card, method)


@again_after_deadlock
@transaction.atomic
def note_gone(card: Card) -> None:
    """Whoever has to pay with it by now needs another; the daily job asks for what is due later."""
    _lock(card)
    if not Card.objects.filter(pk=card.pk, gone_at=None).update(gone_at=Now()):
        return
    paid_by_it = Installment.objects.filter(
        order__card_agreements__card=card, order__card_agreements__ended_at=None
    )
    waiting = paid_by_it.filter(
        status=InstallmentStatus.RETRY_WAIT, order__status=OrderStatus.CONFIRMED, held_at=None
    )
    for installment in waiting:
        installment.move(InstallmentStatus.NEEDS_CARD, reason=CARD_GONE)


@again_after_deadlock
@transaction.atomic
def note_renewed(card: Card, method: Mapping[str, Any]) -> None:
    """The network gave it another date or number: what waited for another card is charged again by itself.

    A bank's refusal for good stays with the number that it refused.
    """
    _lock(card)
    card.refresh_from_db()
    columns = card_columns(method)
    if all(getattr(card, name) == value for name, value in columns.items()):
        return
    if columns["fingerprint"] != card.fingerprint:
        card.refused_at = None
    for name, value in columns.items():
        setattr(card, name, value)
    twin = Card.objects.like(card).exclude(pk=card.pk).filter(refused_at__isnull=False).first()
    if twin and not card.refused_at:
        card.refused_at = twin.refused_at
    card.outdated_at = None
    card.save()
    if not card.why_not_charged(local_date(timezone.now())):
        try_again_with(card, [InstallmentStatus.NEEDS_CARD])
        enqueue("billing.tasks.sweep_waitlist")


def _lock(card: Card) -> None:
    """The family, then its orders."""
    Household.objects.select_for_update(no_key=True).get(pk=card.household_id)
    list(Order.objects.select_for_update(no_key=True).filter(household=card.household_id).order_by("pk"))
