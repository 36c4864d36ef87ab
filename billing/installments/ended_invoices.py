"""Invoices that someone ended in Stripe's dashboard: what they asked for is held until staff decide."""

from django.db import transaction

from billing.installments.invoices import ENDED, closed_invoice, retrieve
from billing.models import Installment
from billing.models.installments import CHARGEABLE
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.models import StaffTask
from orders.locks import lock_order
from orders.models import OrderStatus


def look_at_ended_invoice(invoice_id: str) -> None:
    """An event says that this invoice was voided or given up: if the money is still owed, it is held, and
    staff are asked.

    A charge that is under way learns of it by itself. Safe to repeat. Raises what the gateway raises.
    """
    for installment in Installment.objects.filter(stripe_invoice_id=invoice_id, invoice_closed_at=None):
        status = retrieve(invoice_id)["status"]
        if status in ENDED and _held(installment, f"Its invoice {invoice_id} was made {status} at Stripe"):
            closed_invoice(installment)  # the next charge gets a new one


@again_after_deadlock
@transaction.atomic
def _held(installment: Installment, what: str) -> bool:
    """Whether it is held now, and was owed."""
    lock_order(installment.order_id)
    owed = Installment.objects.filter(
        pk=installment.pk,
        stripe_invoice_id=installment.stripe_invoice_id,
        invoice_closed_at=None,
        status__in=CHARGEABLE,
        order__status=OrderStatus.CONFIRMED,
    )
    if not owed.exists():
        return False
    owed.filter(held_at=None).update(held_at=Now())
    detail = f"{what}, not by us. It is on hold: release it to charge it with a new invoice, or waive it."
    StaffTask.open(MoneyTask.INVOICE_ENDED, installment, detail)
    return True
