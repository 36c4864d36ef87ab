"""Whether a family can pay an installment now, asked of rows that were just read."""

import datetime

from billing.installments.next_step import next_step_of
from billing.installments.statement import state_of
from billing.models import Cancellation, Installment


class NotPayable(Exception):
    """Why this installment cannot be paid now, in words for the parent."""


def refuse_unless_payable(installment: Installment, *, on: datetime.date) -> None:
    """Raises NotPayable. The page may be old, so the state is read again."""
    installment.refresh_from_db(fields=["status", "next_try_on"])
    step = next_step_of(installment, on=on)
    if not step.can_be_paid:
        raise NotPayable(state_of(installment, step, on=on).text)
    if Cancellation.objects.waiting().filter(order=installment.order_id).exists():
        raise NotPayable("A class in this order was just cancelled. Please check again in a moment.")
