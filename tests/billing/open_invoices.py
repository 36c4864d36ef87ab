"""An installment whose invoice is open at Stripe, and what staff have made of it."""

from billing.installments.dunning import start_charges
from billing.models import Payment
from tests.shop import DUE, charge, order_with_plan, script


def with_open_invoice(shop):
    """Declined once on its due day, so that its invoice is open at Stripe."""
    installment = order_with_plan(shop)
    script(shop, installment, "insufficient_funds")
    start_charges(DUE, on=installment.due_on)
    charge()
    installment.refresh_from_db()
    assert installment.status == "retry_wait"
    return installment


def state_of(shop, installment):
    installment.refresh_from_db()
    invoices = shop.server.books()["invoices"].get(str(installment.public_id), [])
    return (
        installment.status,
        [invoice["status"] for invoice in invoices],
        [(row.amount_cents, row.method) for row in Payment.objects.filter(installment=installment)],
        [note.text for note in installment.notes.all()],
    )
