"""Saved cards of a family: which of them pays what, and which is never charged again.

A card pays what it was agreed for, and nothing else. Of two agreements the later one counts, in whatever
order Stripe reports them.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet, prefetch_related_objects

from billing.models import Card, CardAgreement, CardUpdate, Consent, Installment, WaitlistConsent
from billing.models.cards import NO_CARD, card_columns
from csf.clock import Now
from csf.staff.fingerprint import fingerprint_of
from enrollments.locks import lock_household
from enrollments.models import EnrollmentStatus, Household, User
from orders.models import Order, OrderItem, OrderStatus


@dataclass
class Use:
    """What one card pays: open orders with their installments, and places on the waitlist."""

    card: Card | None
    """None: no card pays them."""
    installments: list[Installment] = field(default_factory=list)
    places: list[WaitlistConsent] = field(default_factory=list)

    @property
    def orders(self) -> list[Order]:
        return list({part.order_id: part.order for part in self.installments}.values())

    @property
    def left(self) -> list[tuple[Order, int]]:
        """Each order with the cents that are still open."""
        return [
            (order, sum(part.amount_cents for part in self.installments if part.order_id == order.pk))
            for order in self.orders
        ]

    @property
    def fingerprint(self) -> str:
        """What a person looked at before pressing the button."""
        parts = [(part.pk, part.amount_cents) for part in self.installments]
        return fingerprint_of(parts, [place.pk for place in self.places])

    def why_not_charged(self, on: datetime.date) -> str:
        return self.card.why_not_charged(on) if self.card else NO_CARD


def uses_of(household: Household) -> list[Use]:
    """All that a card was agreed for and that is still open, by card; what no card pays comes first."""
    items = OrderItem.objects.filter(moved_to=None).select_related("child", "course")
    places = WaitlistConsent.objects.filter(
        enrollment__child__household=household,
        enrollment__status__in=[EnrollmentStatus.WAITLISTED, EnrollmentStatus.OFFERED],
    )
    return uses_by_card(
        _agreed_parts(household).prefetch_related(Prefetch("order__items", items)),
        places.select_related("enrollment__child", "enrollment__course"),
    )


def _agreed_parts(household: Household) -> QuerySet[Installment]:
    """What is open and may be charged to a card."""
    agreed = Installment.objects.open().filter(order__household=household, consent__isnull=False)
    return agreed.filter(order__status=OrderStatus.CONFIRMED).select_related("order")


def uses_by_card(parts: Iterable[Installment], places: Iterable[WaitlistConsent] = ()) -> list[Use]:
    """These open installments and places on the waitlist, by the card that pays them."""
    current = CardAgreement.objects.current().select_related("card")
    parts = sorted(parts, key=lambda part: (part.due_on, part.pk))
    places = sorted(places, key=lambda place: place.pk)
    prefetch_related_objects(parts, Prefetch("order__card_agreements", current))
    prefetch_related_objects(places, Prefetch("card_agreements", current))
    uses: dict[str | int | None, Use] = {}
    for part in parts:
        _use(uses, part.order.card_agreements.all()).installments.append(part)
    for place in places:
        _use(uses, place.card_agreements.all()).places.append(place)
    return sorted(uses.values(), key=lambda use: use.card is not None)


def _use(uses: dict[str | int | None, Use], agreements: Iterable[CardAgreement]) -> Use:
    card = next((agreement.card for agreement in agreements), None)
    return uses.setdefault((card.fingerprint or card.pk) if card else None, Use(card))


def without_valid_card(uses: Iterable[Use], *, on: datetime.date) -> Use:
    """What no card will pay as things stand."""
    lacking = [use for use in uses if use.why_not_charged(on)]
    return Use(
        card=next((use.card for use in lacking if use.card), None),
        installments=[part for use in lacking for part in use.installments],
        places=[place for use in lacking for place in use.places],
    )


def other_orders(household: Household) -> list[tuple[Order, int, Card | None]]:
    """What the card of a new order may pay as well, if the parent says so: each open order, its open cents,
    and the card that pays it so far."""
    uses = uses_by_card(_agreed_parts(household))
    return [(order, cents, use.card) for use in uses for order, cents in use.left]


def chargeable_cards(household: Household, *, on: datetime.date) -> list[Card]:
    """What the family may choose from, the newest first; a card that was saved twice only once."""
    found: dict[str | int, Card] = {}
    for card in Card.objects.usable().filter(household=household).order_by("-pk"):
        if not card.why_not_charged(on):
            found.setdefault(card.fingerprint or card.pk, card)
    return list(found.values())


def card_of(order: Order) -> Card | None:
    """The one that was agreed for this order, whether or not it can be charged."""
    return Card.objects.paying(order).first()


def card_that_pays(order: Order, *, on: datetime.date) -> Card | None:
    """The same, if it can be charged on that day."""
    card = card_of(order)
    return card if card and not card.why_not_charged(on) else None


@transaction.atomic
def save_card(*, household: Household, method: Mapping[str, Any]) -> Card:
    """Make a Stripe payment method a card of the family, which pays nothing yet. A repeat returns the same
    card.

    One that was refused for good before, under whatever id, stays refused.
    """
    lock_household(household.pk)
    known = Card.objects.filter(stripe_payment_method_id=method["id"]).first()
    if known is not None:
        return known
    columns = card_columns(method)
    refused = Card.objects.filter(household=household, refused_at__isnull=False).exclude(fingerprint="")
    twin = refused.filter(fingerprint=columns["fingerprint"]).first()
    return Card.objects.create(
        household=household,
        stripe_payment_method_id=method["id"],
        refused_at=twin.refused_at if twin else None,
        **columns,
    )


def use_card(
    card: Card,
    *,
    orders: Iterable[Order] = (),
    places: Iterable[WaitlistConsent] = (),
    by: User,
    at: datetime.datetime,
) -> list[Order]:
    """From now on the card pays these, as `by` agreed at that time; return the orders that it now pays.

    What was agreed later than `at` about another card stays. The caller holds the family's lock.
    """
    taken = [order for order in orders if _agree(card, by=by, at=at, order=order)]
    for place in places:
        _agree(card, by=by, at=at, waitlist_consent=place)
    idle = Card.objects.filter(household=card.household_id, replaced_at=None).exclude(pk=card.pk)
    paying = CardAgreement.objects.current().values("card")
    idle.exclude(pk__in=paying).update(replaced_at=Now())
    return taken


def _agree(card: Card, *, by: User, at: datetime.datetime, **paid: Any) -> bool:
    current = CardAgreement.objects.current().filter(**paid)
    if current.filter(Q(agreed_at__gt=at) & ~Q(card=card)).exists():
        return False
    if not current.filter(card=card).exists():
        current.update(ended_at=Now())
        CardAgreement.objects.create(card=card, agreed_by=by, agreed_at=at, **paid)
    return True


def use_card_as_agreed(card: Card, *, consent: Consent) -> None:
    """A card that paid at checkout: for its own order, and for the others that the parent ticked there."""
    others = consent.other_orders.filter(household=card.household_id)
    orders = [consent.order, *others] if consent.order else []
    use_card(card, orders=orders, by=consent.given_by, at=consent.given_at)


def use_card_as_requested(card: Card, *, update: CardUpdate) -> list[Order]:
    """A card that was saved on its own: for what the page listed."""
    orders, places = update.orders.all(), update.places.all()
    return use_card(card, orders=orders, places=places, by=update.requested_by, at=update.created_at)


def refuse_card(card: Card) -> None:
    """After a hard decline no order of the family uses this card again."""
    Card.objects.like(card).filter(refused_at=None).update(refused_at=Now())
