from django.db import models

from csf.models import task_kinds


@task_kinds
class MoneyTask(models.TextChoices):
    """Staff tasks about money."""

    UNMATCHED_PAYMENT = "unmatched_payment", "Payment that matches no open installment"
    EVENT_PARKED = "event_parked", "Stripe event that could not be processed"
    STRIPE_KEY_REFUSED = "stripe_key_refused", "Stripe rejects our secret key"
    CHARGE_UNKNOWN = "charge_unknown", "Charge with unknown outcome"
    CARD_REFUSED = "card_refused", "Card refused for good by the bank"
    CARD_UNKNOWN = "card_unknown", "New card: unclear what it should pay for"
    DECLINE_TO_LOOK_AT = "decline_to_look_at", "Decline to review"
    INSTALLMENT_LATE = "installment_late", "Installment too late to charge automatically"
    INSTALLMENT_EXHAUSTED = "installment_exhausted", "Installment whose last try failed"
    CHARGE_REJECTED = "charge_rejected", "Request refused by Stripe"
    INVOICE_ENDED = "invoice_ended", "Invoice closed at Stripe, not by us"
    REFUND_TO_APPROVE = "refund_to_approve", "Refund to approve or reject"
    REFUND_BY_SYSTEM = "refund_by_system", "Automatic refund to review"
    REFUND_FAILED = "refund_failed", "Refund that did not reach the family"
    REFUND_UNKNOWN = "refund_unknown", "Refund with unknown outcome"
    CANCELLATION_WAITING = "cancellation_waiting", "Cancelled place with unsettled payments"
    REFUND_EXTERNAL = "refund_external", "Refund made at Stripe: add the reason"
    BOOKS_DIFFER = "books_differ", "Difference between our books and Stripe's"
    DISPUTE = "dispute", "Payment disputed by the family's bank"
    DISPUTE_DECIDED = "dispute_decided", "Dispute decided by the bank"
    FRAUD_WARNING = "fraud_warning", "Payment reported as fraud by the card's bank"
    WAITLIST_CHARGE = "waitlist_charge", "Waitlist place whose charge needs attention"
    CLOSURE_LINE = "closure_line", "Family of a cancelled class that needs attention"
