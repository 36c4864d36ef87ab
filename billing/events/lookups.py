"""What an event is about, read at Stripe.

Events are processed in any order, so the payment that a refund, a dispute or a warning needs is looked up
with it and recorded first.
"""

from typing import Any

from billing.events.fraud_warnings import settle_warning
from billing.ledger.differences import report_unknown
from billing.ledger.disputes import settle_dispute
from billing.ledger.refund_sending import book_external, settle_refund
from billing.ledger.settle import settle_invoice, settle_payment_intent
from billing.models import BookDifference, Dispute, KnownIntent, Payment, Refund
from billing.stripe import gateway
from billing.stripe.objects import uuid_in

Subject = BookDifference.Subject


class NotYet(Exception):
    """Stripe names a payment that it does not call paid: looked at again later."""


def look_at_refund(stripe_id: str) -> None:
    """An event named this refund: ask Stripe and settle it. Raises NotYet, and what the gateway raises."""
    record_refund(gateway.retrieve_refund(stripe_id))


def record_refund(found: gateway.Object) -> Refund | None:
    """Write a refund as Stripe has it; None if it is not ours, or its payment is not here."""
    if refund := settle_refund(found):
        return refund
    payment, is_ours = payment_at_stripe(found["payment_intent"])
    if payment:
        return book_external(found, payment)
    if is_ours or uuid_in(found, "refund"):
        report_unknown(Subject.REFUND, found, found["amount"])
    return None


def look_at_dispute(stripe_id: str) -> None:
    """An event named this dispute: ask Stripe and settle it. Raises NotYet, and what the gateway raises."""
    record_dispute(gateway.retrieve_dispute(stripe_id))


def record_dispute(found: gateway.Object) -> Dispute | None:
    """Write a dispute as Stripe has it; None if it is not ours, or its payment is not here."""
    payment, is_ours = payment_at_stripe(found["payment_intent"])
    if payment:
        return settle_dispute(found, payment)
    if is_ours:
        report_unknown(Subject.DISPUTE, found, found["amount"])
    return None


def look_at_warning(stripe_id: str) -> None:
    """An event named this early fraud warning: ask Stripe and settle it. Raises NotYet, and what the gateway
    raises."""
    found = gateway.retrieve_fraud_warning(stripe_id)
    payment, _ = payment_at_stripe(found.get("payment_intent"))
    if payment:
        settle_warning(found, payment)


def payment_at_stripe(payment_intent: str | None) -> tuple[Payment | None, bool]:
    """Our payment for a PaymentIntent, recorded now if its own event was not processed yet.

    Without one, says whether the money was taken in our name: then its rows are missing here, and staff have
    a task. The account may be used for other things too, which are none of our business.
    """
    if payment_intent is None:
        return None, False
    if payment := Payment.objects.filter(stripe_payment_intent_id=payment_intent).first():
        return payment, True
    known = KnownIntent.objects.filter(stripe_payment_intent_id=payment_intent).select_related("payment")
    if found := known.first():
        return found.payment, found.payment is not None
    intent = gateway.retrieve_payment_intent(payment_intent)
    if uuid_in(intent, "attempt"):
        _must_be(intent, "succeeded")
        return settle_payment_intent(intent), True
    invoice_id = gateway.invoice_of_intent(payment_intent)
    payment, is_ours = _payment_of_invoice(invoice_id) if invoice_id else (None, False)
    if payment or not is_ours:
        KnownIntent.remember(payment_intent, payment)
    return payment, is_ours


def _payment_of_invoice(invoice_id: str) -> tuple[Payment | None, bool]:
    if payment := Payment.objects.filter(stripe_invoice_id=invoice_id).first():
        return payment, True
    invoice = gateway.retrieve_invoice(invoice_id)
    if not uuid_in(invoice, "installment"):
        return None, False
    _must_be(invoice, "paid")
    return settle_invoice(invoice), True


def _must_be(thing: dict[str, Any], status: str) -> None:
    if thing["status"] != status:
        raise NotYet(f"{thing['id']} is {thing['status']} at Stripe")
