"""Seeing that an installment's invoice at Stripe can no longer be paid, before the installment changes."""

from billing import gateway
from billing.models import ChargeAttempt, Installment
from billing.models.charges import OPEN_CHARGE, ChargeAttemptQuerySet
from billing.settle import settle_invoice
from orders.models import Order


def open_attempts(order: Order) -> ChargeAttemptQuerySet:
    """Charges of the order that are under way, or whose outcome is not known."""
    return ChargeAttempt.objects.filter(installment__order=order, status__in=OPEN_CHARGE)


def void(installment: Installment) -> str:
    """Void its invoice, and see it void; gives the invoice's id. Money that came meanwhile is recorded."""
    return str(closed_invoice(installment)["id"])


def closed_invoice(installment: Installment) -> gateway.Object:
    """Its invoice, which cannot be paid any more: void, a draft, or paid, and then its money is recorded.

    Raises what the gateway raises; OutcomeUnknown also if the invoice is neither void nor paid.
    """
    assert installment.stripe_invoice_id
    invoice = gateway.retrieve_invoice(installment.stripe_invoice_id)
    if invoice["status"] in {"open", "uncollectible"}:
        invoice = gateway.void_invoice(invoice["id"], key=f"void:{installment.public_id}")
    if invoice["status"] == "paid":
        settle_invoice(invoice)
    elif invoice["status"] not in {"void", "draft"}:
        raise gateway.OutcomeUnknown(f"the invoice is {invoice['status']}")
    return invoice
