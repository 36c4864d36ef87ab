"""A family's customer at Stripe: made when it is needed, and again when Stripe does not know it any more.

A customer can be deleted in Stripe's dashboard, or belong to the test mode that was used before going live.
Its saved cards are gone with it; its invoices are closed one by one when they are needed again.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db.models import F

from billing.installments.card_renewals import note_gone
from billing.models import Card, StripeCustomer
from billing.stripe import gateway
from enrollments.models import Household

Made = TypeVar("Made")


def ensure_customer(household: Household) -> StripeCustomer:
    """The household's customer in the mode that we run in. Raises what the gateway raises."""
    customer = _row(household)
    if customer.stripe_id and customer.livemode != settings.STRIPE_LIVE_MODE:
        forget_customer(customer.stripe_id)
        customer.refresh_from_db()
    if customer.stripe_id is None:
        _make(customer, household)
    return customer


def with_customer(household: Household, act: Callable[[StripeCustomer], Made]) -> Made:
    """What `act` returns for the household's customer: a new one, if it turns out that Stripe does not know
    it any more. Raises what the gateway raises."""
    customer = ensure_customer(household)
    try:
        return act(customer)
    except gateway.StripeRefused as error:
        if not error.is_no_such_customer:
            raise
    forget_customer(customer.stripe_id)
    customer.refresh_from_db()
    return act(ensure_customer(household))


def look_at_customer(stripe_id: str) -> None:
    """An event says that it was deleted: if Stripe says so too, it is forgotten. Raises what the gateway
    raises."""
    if gateway.find_customer(stripe_id) is None:
        forget_customer(stripe_id)


def forget_customer(stripe_id: str | None) -> None:
    """Stripe has no such customer, and so none of its cards. The family's next customer is a new one."""
    ours = StripeCustomer.objects.filter(stripe_id=stripe_id).exclude(stripe_id=None)
    for card in Card.objects.filter(household__stripe_customer__in=ours, gone_at=None):
        note_gone(card)
    ours.update(stripe_id=None, number=F("number") + 1)


def forget_other_mode() -> None:
    """After going live: the customers and cards of test mode are not those that are charged now.

    The other way round nothing is forgotten: it is a copy for staging, or a wrong setting.
    """
    if not settings.STRIPE_LIVE_MODE:
        return
    ours = StripeCustomer.objects.exclude(stripe_id=None).exclude(livemode=True)
    for stripe_id in ours.values_list("stripe_id", flat=True):
        forget_customer(stripe_id)


def _row(household: Household) -> StripeCustomer:
    if not hasattr(household, "stripe_customer"):
        household.stripe_customer, _ = StripeCustomer.objects.get_or_create(household=household)
    return household.stripe_customer


def _make(customer: StripeCustomer, household: Household) -> None:
    key = customer.key(f"cus:{household.public_id}")
    email, name = household.lead.email, household.name
    try:
        found = _created(household, email, name, key=key)
    except gateway.KeyReused:
        # An answer was lost, and the family has changed its name or address since. A second customer that
        # nobody uses does no harm.
        sent = hashlib.sha256(f"{email} {name}".encode()).hexdigest()[:12]
        found = _created(household, email, name, key=f"{key}:{sent}")
    StripeCustomer.objects.filter(pk=customer.pk, stripe_id=None).update(
        stripe_id=found["id"], livemode=settings.STRIPE_LIVE_MODE
    )
    customer.refresh_from_db()


def _created(household: Household, email: str, name: str, *, key: str) -> gateway.Object:
    metadata = {"household": str(household.public_id)}
    return gateway.create_customer(email=email, name=name, metadata=metadata, key=key)
