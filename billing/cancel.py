"""Giving up a paid place. What money comes back is decided apart from it, by a person."""

from django.db import transaction

from csf.contention import again_after_deadlock
from enrollments.models import Enrollment, User
from orders.models import Order, OrderStatus


@again_after_deadlock
@transaction.atomic
def cancel_enrollment(*, enrollment: Enrollment, by: User, reason: str) -> None:
    """Free the seat for good; the family gets its cancellation email, whoever pressed the button.

    An order whose last place is given up is cancelled with it. Raises Stale unless the enrollment is active.
    """
    order = Order.objects.select_for_update(no_key=True).get(items__enrollment=enrollment)
    enrollment.cancel(by=by, reason=reason)
    alive = Enrollment.objects.live().filter(order_item__order=order)
    if order.status == OrderStatus.CONFIRMED and not alive.exists():
        order.end(OrderStatus.CANCELLED, by=by, reason="the last class was cancelled")
