"""Saved cards that change at Stripe without us: renewed by their network, removed, or gone with a customer.

An event is only a hint, and may arrive late or twice: what counts is the card as Stripe has it now.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from billing.installments.card_stops import lock_family, stop_gone
from billing.installments.card_updates import try_again_with
from billing.models import Card, InstallmentStatus
from billing.models.cards import card_columns
from billing.stripe import gateway
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.jobs.queue import enqueue


def look_at_card(method_id: str) -> None:
    """Read a saved card again, and record what happened to it. Safe to repeat, in any order.

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
    """Installments already due with it need another card; families with later ones are notified."""
    lock_family(card)
    if Card.objects.filter(pk=card.pk, gone_at=None).update(gone_at=Now()):
        stop_gone(card)


@again_after_deadlock
@transaction.atomic
def note_renewed(card: Card, method: Mapping[str, Any]) -> None:
    """The network gave it another date or number: what waited for another card is charged again by itself.

    A bank's refusal for good stays with the number that it refused.
    """
    lock_family(card)
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
    if not card.why_not_charged(clock.today()):
        try_again_with(card, [InstallmentStatus.NEEDS_CARD])
        enqueue("billing.tasks.sweep_waitlist")
