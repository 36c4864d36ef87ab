"""Saved cards of a family: the newest pays all open installments; one that was refused for good is never
asked."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from billing.models import Card
from billing.models.plans import card_columns
from enrollments.models import Household


@transaction.atomic
def save_card(*, household: Household, method: Mapping[str, Any]) -> Card:
    """Make a Stripe payment method the family's card. A repeat gives the same card.

    A card that was refused for good before, under whatever id, stays refused.
    """
    Household.objects.select_for_update(no_key=True).get(pk=household.pk)
    known = Card.objects.filter(stripe_payment_method_id=method["id"]).first()
    if known is not None:
        return known
    columns = card_columns(method)
    refused = Card.objects.filter(household=household, refused_at__isnull=False).exclude(fingerprint="")
    twin = refused.filter(fingerprint=columns["fingerprint"]).first()
    Card.objects.filter(household=household, replaced_at=None).update(replaced_at=Now())
    return Card.objects.create(
        household=household,
        stripe_payment_method_id=method["id"],
        refused_at=twin.refused_at if twin else None,
        **columns,
    )


def refuse_card(card: Card) -> None:
    """After a hard decline no order of the family asks this card again."""
    same = Card.objects.filter(household=card.household_id, refused_at=None)
    same = same.filter(fingerprint=card.fingerprint) if card.fingerprint else same.filter(pk=card.pk)
    same.update(refused_at=Now())
