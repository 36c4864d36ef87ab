"""Early fraud warnings: a card's bank reports a payment as fraud, mostly some days before it disputes it.

Until then a refund still avoids the dispute and its fee, so a person has to decide.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from billing.models import Payment
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.models import StaffTask
from csf.money import money_text
from orders.locks import lock_order
from orders.models import Order

KIND = MoneyTask.FRAUD_WARNING


@again_after_deadlock
@transaction.atomic
def settle_warning(found: Mapping[str, Any], payment: Payment) -> None:
    """Stop the order's charges and ask staff, once for each payment, however often the bank or Stripe repeats
    it.

    Stripe calls a warning actionable until its payment is disputed, or refunded as a whole.
    """
    lock_order(payment.order_id)
    if not found["actionable"] or StaffTask.objects.about(payment).filter(kind=KIND).exists():
        return
    Order.objects.filter(pk=payment.order_id, charges_paused_at=None).update(charges_paused_at=Now())
    StaffTask.open(KIND, payment, _what_to_do(found, payment))


def _what_to_do(found: Mapping[str, Any], payment: Payment) -> str:
    amount, kind = money_text(payment.amount_cents), found["fraud_type"].replace("_", " ")
    return (
        f"The card's bank reports {amount} as fraud ({kind}). Charges of this order are paused. Call "
        "the family. If they did not pay this themselves, refund it now: that avoids a dispute and its fee. "
        "If the payment is genuine, resume the order's charges and close this task."
    )
