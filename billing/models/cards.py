"""Saved cards of a family, and which of its orders each of them was agreed for."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any, Self

from django.db import models
from django.db.models import Q

from billing.models.consents import WaitlistConsent
from csf.clock import Now
from enrollments.models import Household, User
from orders.models import Order

NO_CARD = "no saved card"
CARD_GONE = "the card is no longer saved at Stripe"
CARD_REFUSED = "the bank refused this card for good"
CARD_OUTDATED = "the bank wants another card than the saved one"
CARD_EXPIRED = "the card has expired"


class CardQuerySet(models.QuerySet["Card"]):
    def usable(self) -> Self:
        """What may be charged, as long as it has not expired."""
        return self.filter(replaced_at=None, refused_at=None, outdated_at=None, gone_at=None)

    def paying(self, order: Any) -> Self:
        """The one that was agreed for this order, or for that of an outer query."""
        return self.filter(agreements__order=order, agreements__ended_at=None)

    def like(self, card: "Card") -> Self:
        """The same card of plastic, however often it was saved."""
        family = self.filter(household=card.household_id)
        return family.filter(fingerprint=card.fingerprint) if card.fingerprint else family.filter(pk=card.pk)


class Card(models.Model):
    """A card that a family saved at Stripe. It pays what it was agreed for, see CardAgreement."""

    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="cards")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    stripe_payment_method_id = models.CharField(max_length=255, unique=True)
    fingerprint = models.CharField(max_length=100, blank=True, db_index=True)
    brand = models.CharField(max_length=30, blank=True)
    last4 = models.CharField(max_length=4, blank=True)
    exp_month = models.PositiveSmallIntegerField(null=True)
    exp_year = models.PositiveSmallIntegerField(null=True)
    saved_at = models.DateTimeField(db_default=Now(), editable=False)
    replaced_at = models.DateTimeField(
        null=True, blank=True, help_text="When another card replaced it for everything it paid for."
    )
    refused_at = models.DateTimeField(
        null=True, blank=True, help_text="After a hard decline: never charged again by us."
    )
    outdated_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the bank asked for another number or expiry date. A renewed card clears it.",
    )
    gone_at = models.DateTimeField(
        null=True, blank=True, help_text="When we saw that Stripe no longer has it for this family."
    )

    objects = CardQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.brand.title() or 'Card'} ending in {self.last4}"

    def is_like(self, other: "Card") -> bool:
        """As `CardQuerySet.like`, within a family."""
        return self.pk == other.pk or bool(self.fingerprint and self.fingerprint == other.fingerprint)

    def expires_before(self, on: datetime.date) -> bool:
        """A card works to the end of its month."""
        if not self.exp_year or not self.exp_month:
            return False
        return (self.exp_year, self.exp_month) < (on.year, on.month)

    def why_not_charged(self, on: datetime.date) -> str:
        """Why it is not charged on that day; empty if it is. Nothing else decides this."""
        if self.replaced_at:
            return NO_CARD
        if self.gone_at:
            return CARD_GONE
        if self.refused_at:
            return CARD_REFUSED
        if self.outdated_at:
            return CARD_OUTDATED
        return CARD_EXPIRED if self.expires_before(on) else ""


class CardAgreementQuerySet(models.QuerySet["CardAgreement"]):
    def current(self) -> Self:
        return self.filter(ended_at=None)


class CardAgreement(models.Model):
    """That a card pays an order, or a place from the waitlist once one is free."""

    order = models.ForeignKey(
        Order, null=True, blank=True, on_delete=models.PROTECT, related_name="card_agreements"
    )
    waitlist_consent = models.ForeignKey(
        WaitlistConsent, null=True, blank=True, on_delete=models.PROTECT, related_name="card_agreements"
    )
    card = models.ForeignKey(Card, on_delete=models.PROTECT, related_name="agreements")
    agreed_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    agreed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = CardAgreementQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(order__isnull=False, waitlist_consent=None)
                | Q(order=None, waitlist_consent__isnull=False),
                name="billing_cardagreement_for_one_thing",
            ),
            models.UniqueConstraint(
                fields=["order"], condition=Q(ended_at=None), name="billing_cardagreement_one_an_order"
            ),
            models.UniqueConstraint(
                fields=["waitlist_consent"],
                condition=Q(ended_at=None),
                name="billing_cardagreement_one_a_place",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.card} for {self.order or self.waitlist_consent}"


class CardStopReason(models.TextChoices):
    GONE = "gone", "removed at Stripe"
    WITHDRAWN = "withdrawn", "stopped by the family"


class CardStop(models.Model):
    """That a card is no longer charged for payments that were ahead. Never changed."""

    IS_APPEND_ONLY = True

    card = models.ForeignKey(Card, on_delete=models.PROTECT, related_name="stops")
    reason = models.CharField(max_length=20, choices=CardStopReason.choices)
    payments = models.JSONField(
        help_text="What it was to be charged for: due_on, amount_cents and order_number of each."
    )
    by = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.card}: {self.get_reason_display()}"


class CardUpdate(models.Model):
    """A parent who went to Stripe's page to save another card: what it is for, and whether it may be charged
    at once for what was due that day."""

    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="card_updates")
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    orders = models.ManyToManyField(Order, related_name="+", help_text="What the new card should pay for.")
    places = models.ManyToManyField(
        WaitlistConsent, related_name="+", help_text="On the waitlist, paid once one is free."
    )
    charge_now = models.BooleanField(default=False)
    stripe_session_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, editable=False, help_text="When the card was saved.")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Card update of {self.household}"


def card_columns(method: Mapping[str, Any]) -> dict[str, Any]:
    """From a Stripe payment method."""
    card = method.get("card") or {}
    return {
        "fingerprint": card.get("fingerprint") or "",
        "brand": card.get("brand") or "",
        "last4": card.get("last4") or "",
        "exp_month": card.get("exp_month"),
        "exp_year": card.get("exp_year"),
    }
