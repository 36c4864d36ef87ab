"""Stripe's own page of an installment's invoice. Staff can send its link from Stripe."""

from billing.checkout.payable import refuse_unless_payable
from billing.installments.attempts import ask_again
from billing.installments.customers import with_customer
from billing.installments.invoices import ensure_invoice
from billing.ledger.settle import settle_invoice
from billing.stripe import gateway
from billing.stripe.page_calls import asking_stripe
from csf import clock


@gateway.within(gateway.PAGE_S)
def invoice_page(installment):
    """The page's address. Raises NotPayable where nobody would send it, and StripeUnavailable."""
    ask_again(installment.order)
    refuse_unless_payable(installment, on=clock.today())
    with asking_stripe(installment):
        invoice = with_customer(
            installment.order.household,
            lambda customer: ensure_invoice(installment, customer=customer, may_replace=True),
        )
    if invoice["status"] == "paid":
        settle_invoice(invoice)
    return str(invoice["hosted_invoice_url"])
