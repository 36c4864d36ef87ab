"""Leading a parent to Stripe's pages: the one of an installment's invoice, and the one that saves a card."""

from django.conf import settings
from django.urls import reverse

from billing.checkout.payable import NotPayable, refuse_unless_payable
from billing.installments.attempts import ask_again
from billing.installments.customers import with_customer
from billing.installments.invoices import ensure_invoice
from billing.ledger.cards import Use, uses_of, without_a_good_card
from billing.ledger.differences import amount_text
from billing.ledger.settle import settle_invoice
from billing.models import CardUpdate, Installment
from billing.stripe import gateway
from billing.stripe.page_calls import asking_stripe
from billing.task_kinds import MoneyTask
from csf import clock
from csf.dates import local_date
from csf.models import StaffTask
from enrollments.models import Household, User


@gateway.within(gateway.PAGE_S)
def invoice_page(installment: Installment) -> str:
    """The address of Stripe's page where this installment can be paid.

    It opens no attempt and blocks no job: the invoice can be paid once, whoever is first. Raises
    NotPayable, StripeUnavailable or StripeRefused.
    """
    ask_again(installment.order)
    refuse_unless_payable(installment, on=clock.today())
    with asking_stripe(installment):
        invoice = with_customer(
            installment.order.household,
            lambda customer: ensure_invoice(installment, customer=customer, may_replace=True),
        )
    if invoice["status"] == "paid":
        settle_invoice(invoice)
    # Meanwhile a job may have begun to charge it, or staff have ended it.
    refuse_unless_payable(
        Installment.objects.select_related("order").get(pk=installment.pk), on=clock.today()
    )
    agreed = amount_text(installment.amount_cents, installment.order.currency, "open")
    found = amount_text(invoice["amount_due"], invoice["currency"], invoice["status"])
    if found != agreed:
        detail = f"A parent wants to pay {agreed}, and invoice {invoice['id']} is {found}."
        StaffTask.open(MoneyTask.CHARGE_REJECTED, installment, detail)
        raise NotPayable("This cannot be paid here right now. We have been notified and will write to you.")
    return str(invoice["hosted_invoice_url"])


@gateway.within(gateway.PAGE_S)
def card_page(*, household: Household, by: User, charge_now: bool, use: Use | None = None) -> str:
    """The address of Stripe's page where another card is saved, to pay what `use` lists from then on: by
    itself all that no card will pay as things stand. Raises StripeUnavailable or StripeRefused."""
    now = clock.now()
    use = use or without_a_good_card(uses_of(household), on=local_date(now))
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
