"""Stripe's page on which a parent saves another card."""

from django.conf import settings
from django.urls import reverse

from billing.installments.customers import with_customer
from billing.ledger.cards import Use, uses_of, without_valid_card
from billing.models import CardUpdate
from billing.stripe import gateway
from billing.stripe.page_calls import asking_stripe
from csf import clock
from csf.dates import local_date
from enrollments.models import Household, User


@gateway.within(gateway.PAGE_S)
def card_page(*, household: Household, by: User, charge_now: bool, use: Use | None = None) -> str:
    """The address of Stripe's page where another card is saved, to pay what `use` lists from then on: by
    default everything that no card will pay as things stand. Raises StripeUnavailable or PageRefused."""
    now = clock.now()
    use = use or without_valid_card(uses_of(household), on=local_date(now))
    update = CardUpdate.objects.create(
        household=household, requested_by=by, charge_now=charge_now, created_at=now
    )
    update.orders.set(use.orders)
    update.places.set(use.places)
    metadata = {
        "purpose": "card_update",
        "household": str(household.public_id),
        "card_update": str(update.public_id),
    }
    with asking_stripe(household):
        session = with_customer(
            household,
            lambda customer: gateway.create_setup_session(
                customer=str(customer.stripe_id),
                currency=settings.CURRENCY,
                metadata=metadata,
                back=f"{settings.SITE_URL}{reverse('account')}",
                key=customer.key(f"su:{update.public_id}"),
            ),
        )
    CardUpdate.objects.filter(pk=update.pk).update(stripe_session_id=session["id"])
    return str(session["url"])
