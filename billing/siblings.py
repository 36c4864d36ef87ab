"""Which children make the places of their brothers and sisters cheaper."""

import datetime

from billing.models import InstallmentStatus
from billing.owed import with_money_kept
from enrollments.models import Course, EnrollmentStatus
from orders.models import Order, OrderItem

IN_CLASS = [EnrollmentStatus.ACTIVE, EnrollmentStatus.LENDING]


def paid_children(household_id: int, *, on: datetime.date) -> list[int]:
    """The ids of a family's children who count for the sibling discount, by their first place that counts.

    A place counts if it costs something, the family has paid a part of its order and has not got all of that
    back, and its class has not ended. So neither a held place nor a free class makes another one cheaper.
    """
    lines = OrderItem.objects.filter(
        net_cents__gt=0, enrollment__status__in=IN_CLASS, course__in=Course.objects.current(on)
    )
    paid = with_money_kept(Order.objects.filter(household=household_id))
    unpaid_move = OrderItem.objects.filter(moved_from__net_cents=0).exclude(
        enrollment__transfer_here__installment__status=InstallmentStatus.PAID
    )
    counted = lines.filter(order__in=paid).exclude(pk__in=unpaid_move)
    return list(dict.fromkeys(counted.order_by("enrollment_id").values_list("child_id", flat=True)))
