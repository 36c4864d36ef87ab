"""What an event is about, read at Stripe.

Events are processed in any order, so the payment that a refund or a dispute needs is looked up with it and
recorded first.
"""

from typing import Any

from billing import gateway
from billing.differences import report_unknown
from billing.disputes import settle_dispute
from billing.models import BookDifference, Payment
from billing.refunds import book_external, payment_of_intent, settle_refund
from billing.settle import settle_invoice, settle_payment_intent

Subject = BookDifference.Subject


class NotYet(Exception):
    """Stripe names a payment that it does not call paid: looked at again later."""


def look_at_refund(stripe_id: str) -> None:
    """An event named this refund: ask Stripe and settle it. Raises NotYet, and what the gateway raises."""
    found = gateway.retrieve_refund(stripe_id)
    if settle_refund(found) is not None:
        return
    payment, is_ours = payment_at_stripe(found["payment_intent"])
    if payment:
        book_external(found, payment)
    elif is_ours or gateway.uuid_in(found, "refund"):
        report_unknown(Subject.REFUND, found, found["amount"])


def look_at_dispute(stripe_id: str) -> None:
    """An event named this dispute: ask Stripe and settle it. Raises NotYet, and what the gateway raises."""
    found = gateway.retrieve_dispute(stripe_id)
    payment, is_ours = payment_at_stripe(found["payment_intent"])
    if payment:
        settle_dispute(found, payment)
    elif is_ours:
        report_unknown(Subject.DISPUTE, found, found["amount"])


def payment_at_stripe(payment_intent: str | None) -> tuple[Payment | None, bool]:
    """Our payment for a PaymentIntent, recorded now if its own event was not processed yet.

    Without one, says whether the money was taken in our name: then its rows are missing here, and staff have
    a task. The account may be used for other things too, which are none of our business.
    """
    if payment := payment_of_intent(payment_intent):
        return payment, True
    if payment_intent is None:
        return None, False
    intent = gateway.retrieve_payment_intent(payment_intent)
    if gateway.uuid_in(intent, "attempt"):
        _must_be(intent, "succeeded")
        return settle_payment_intent(intent), True
    invoice_id = gateway.invoice_of_intent(payment_intent)
    invoice = gateway.retrieve_invoice(invoice_id) if invoice_id else {}
    if gateway.uuid_in(invoice, "installment"):
        _must_be(invoice, "paid")
        return settle_invoice(invoice), True
    return None, False


def _must_be(thing: dict[str, Any], status: str) -> None:
    if thing["status"] != status:
        raise NotYet(f"{thing['id']} is {thing['status']} at Stripe")
