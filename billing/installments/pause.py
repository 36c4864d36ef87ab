"""Stopping the automatic charges of a whole order, and resuming them. A dispute stops them automatically."""

from django.db import transaction

from billing.models import InstallmentNote
from billing.models.installments import OWN_FAMILY
from csf.clock import Now
from csf.refusal import NotPossible
from enrollments.models import User
from orders.models import Order

RESUMED = "charges of the order resumed"


@transaction.atomic
def pause_charges(*, order: Order, by: User, reason: str) -> None:
    """From now on nothing of this order is charged automatically. Raises NotPossible."""
    if by.household_id == order.household_id:
        raise NotPossible(OWN_FAMILY)
    if not Order.objects.filter(pk=order.pk, charges_paused_at=None).update(charges_paused_at=Now()):
        raise NotPossible("The charges of this order are already paused.")
    _note(order, by, "charges of the order paused", reason)


@transaction.atomic
def resume_charges(*, order: Order, by: User, reason: str) -> None:
    """Charge again, from the next run of the jobs on. Raises NotPossible."""
    if not Order.objects.filter(pk=order.pk).exclude(charges_paused_at=None).update(charges_paused_at=None):
        raise NotPossible("The charges of this order are not paused.")
    _note(order, by, RESUMED, reason)


def _note(order: Order, by: User, what: str, reason: str) -> None:
    """In the history of every installment that it concerns; without an open one, of all."""
    if not reason.strip():
        raise NotPossible("Give a reason: it stays in the history.")
    InstallmentNote.objects.bulk_create(
        InstallmentNote(installment=installment, by=by, text=f"{what}: {reason.strip()}"[:500])
        for installment in order.installments.open() or order.installments.all()
    )
