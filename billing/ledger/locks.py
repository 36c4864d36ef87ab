"""Installments under their locks, after their orders: see `orders.locks`."""

from billing.models import Installment
from csf.database.row_locks import locked_one
from orders.locks import lock_order


def lock_installment(installment: Installment) -> Installment:
    """The installment and its order."""
    order = lock_order(installment.order_id)
    found = locked_one(Installment.objects.all(), installment.pk)
    found.order = order
    return found
