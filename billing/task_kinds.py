from django.db import models

from csf.models import task_kinds


@task_kinds
class MoneyTask(models.TextChoices):
    """Staff tasks about money."""

    UNMATCHED_PAYMENT = "unmatched_payment", "Money that fits no open installment"
    EVENT_PARKED = "event_parked", "A Stripe event that could not be handled"
    STRIPE_KEY_REFUSED = "stripe_key_refused", "Stripe does not accept our secret key"
    CHARGE_UNKNOWN = "charge_unknown", "A charge whose outcome Stripe does not tell"
    CARD_REFUSED = "card_refused", "A card that the bank refused for good"
    CARD_UNKNOWN = "card_unknown", "A new card of which nobody knows what it shall pay"
    DECLINE_TO_LOOK_AT = "decline_to_look_at", "A decline that a person should look at"
    INSTALLMENT_LATE = "installment_late", "An installment too late to be charged by itself"
    INSTALLMENT_EXHAUSTED = "installment_exhausted", "An installment whose last try failed"
    CHARGE_REJECTED = "charge_rejected", "Stripe refused our request"
    INVOICE_ENDED = "invoice_ended", "An invoice that somebody ended at Stripe"
    REFUND_TO_APPROVE = "refund_to_approve", "A refund to approve or reject"
    REFUND_BY_SYSTEM = "refund_by_system", "Money sent back without a person's approval"
    REFUND_FAILED = "refund_failed", "A refund that did not reach the family"
    REFUND_UNKNOWN = "refund_unknown", "A refund whose outcome Stripe does not tell"
    CANCELLATION_WAITING = "cancellation_waiting", "A cancelled place whose money is not settled"
    REFUND_EXTERNAL = "refund_external", "A refund made at Stripe: name the reason"
    BOOKS_DIFFER = "books_differ", "Our books and Stripe's do not agree"
    DISPUTE = "dispute", "A payment that the family's bank disputes"
    DISPUTE_DECIDED = "dispute_decided", "A dispute that the bank has decided"
    FRAUD_WARNING = "fraud_warning", "A payment that its card's bank reports as fraud"
    WAITLIST_CHARGE = "waitlist_charge", "A seat from the waitlist whose charge needs a person"
    CLOSURE_LINE = "closure_line", "A family of a closed class that needs a person"
