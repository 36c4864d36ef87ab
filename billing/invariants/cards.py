"""About saved cards: each pays only what its family agreed to."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef

from billing.models import CardAgreement, ChargeAttempt
from csf.proofs.invariants import Invariant, last_before, pks


def _charged_a_card_not_agreed_for(since: datetime | None = None) -> Any:
    """Under whatever consent: this card was never to pay this order."""
    agreed = CardAgreement.objects.filter(card=OuterRef("card"), order=OuterRef("installment__order"))
    charged = ChargeAttempt.objects.on_saved_cards().filter(card__isnull=False)
    return pks(charged.filter(~Exists(agreed), pk__gt=last_before(ChargeAttempt, since)))


def _cards_of_another_family(since: datetime | None = None) -> Iterator[str]:
    """Charged, or agreed for an order or a place that is not of the card's own family."""
    charged = ChargeAttempt.objects.exclude(card=None).filter(pk__gt=last_before(ChargeAttempt, since))
    charged = charged.exclude(card__household=F("installment__order__household"))
    orders = CardAgreement.objects.exclude(order=None).exclude(order__household=F("card__household"))
    places = CardAgreement.objects.exclude(waitlist_consent=None).exclude(
        waitlist_consent__enrollment__child__household=F("card__household")
    )
    yield from (f"attempt {pk}" for pk in pks(charged))
    yield from (f"agreement {pk}" for pk in [*pks(orders), *pks(places)])


def _agreed_by_another_family() -> Any:
    """Staff write down what a family said; a member of another family agrees to nothing."""
    strangers = CardAgreement.objects.exclude(agreed_by__household=None).filter(agreed_by__is_staff=False)
    return pks(strangers.exclude(agreed_by__household=F("card__household")))


def _two_cards_for_one_thing() -> Iterator[str]:
    """The database refuses them; this sees that it still does."""
    current = CardAgreement.objects.current().order_by()
    for name in ("order", "waitlist_consent"):
        things = current.exclude(**{name: None}).values(name).annotate(n=Count("pk")).filter(n__gt=1)
        yield from (f"{name} {thing[name]}" for thing in things)


def _replaced_cards_that_pay() -> Any:
    return pks(CardAgreement.objects.current().filter(card__replaced_at__isnull=False))


INVARIANTS = [
    Invariant(
        "M11",
        "charges of a card that was not agreed for their order",
        _charged_a_card_not_agreed_for,
        _charged_a_card_not_agreed_for,
    ),
    Invariant("M11", "cards that pay for another family", _cards_of_another_family, _cards_of_another_family),
    Invariant("M11", "cards agreed to by a member of another family", _agreed_by_another_family),
    Invariant("M11", "orders and places with two current cards", _two_cards_for_one_thing),
    Invariant("M11", "cards that were replaced and still pay", _replaced_cards_that_pay),
]
