"""What the emails about a charge share."""

from billing.models import ChargeAttempt, ChargeAttemptTransition, ChargeKind
from orders.models import OrderOrigin, OrderStatus

FAMILY = "chargeattempt.installment.order.household_id"
ORDER = "chargeattempt__installment__order"
OF_PLACED_ORDERS = ChargeAttemptTransition.objects.exclude(
    chargeattempt__installment__order__origin=OrderOrigin.WAITLIST
)


def is_for_waitlist_seat(moved: ChargeAttemptTransition) -> bool:
    """The saved card was charged for a seat that the waitlist gave: it has an email of its own."""
    attempt: ChargeAttempt = moved.chargeattempt
    return attempt.kind == ChargeKind.AUTO and attempt.installment.order.status == OrderStatus.PLACED


def attempt_key(fact: ChargeAttemptTransition) -> str:
    # A payment page is one attempt: five tries on it are one email.
    return f"attempt:{fact.chargeattempt_id}"
