"""Which children reduce the price for their siblings."""

import datetime
from typing import Any

from django.db import connection

from billing.ledger.reductions import CREDITED
from billing.models import CreditCause
from billing.models.refunds import COUNTED
from enrollments.models import EnrollmentStatus

# The sums are those of `billing.ledger.reductions.kept_cents`; when a class has ended, `Course.has_ended`
# says. `way` is how a child came into its class: its line, and those that it moved from, back to a free one.
_PAID_CHILDREN = """
SELECT line.child_id
FROM orders_orderitem line
JOIN orders_order o ON o.id = line.order_id
JOIN enrollments_enrollment place ON place.id = line.enrollment_id
JOIN enrollments_course course ON course.id = line.course_id
WHERE o.household_id = %(household)s
    AND line.net_cents > 0
    AND place.status = ANY(%(in_class)s)
    AND EXISTS (
        WITH RECURSIVE way AS (
            SELECT line.moved_from_id, line.enrollment_id
            UNION ALL
            SELECT before.moved_from_id, before.enrollment_id
            FROM way
            JOIN orders_orderitem before ON before.id = way.moved_from_id AND before.net_cents > 0
        )
        SELECT FROM way
        LEFT JOIN billing_transfer move ON move.joined_id = way.enrollment_id
        LEFT JOIN billing_installment difference ON difference.id = move.installment_id
        WHERE way.moved_from_id IS NULL OR difference.status = 'paid'
    )
    AND %(on)s <= coalesce(
        (SELECT max(held_on) FROM enrollments_coursesession
         WHERE course_id = course.id AND cancelled_at IS NULL),
        course.ends_on
    )
    AND 0 < (SELECT coalesce(sum(amount_cents), 0) FROM billing_payment WHERE order_id = o.id)
        - (SELECT coalesce(sum(amount_cents), 0) FROM billing_refund
           WHERE order_id = o.id AND status = ANY(%(refunded)s))
        - (SELECT coalesce(sum(amount_cents), 0) FROM billing_credit
           WHERE order_id = o.id AND cause = ANY(%(as_credit)s))
ORDER BY place.id
"""


def paid_children(household_id: int, *, on: datetime.date) -> list[int]:
    """The ids of a family's children who count for the sibling discount, by their first place that counts.

    A place counts if it costs something, the family has paid a part of its order and has not got all of that
    back, and its class has not ended. So neither a held place nor a free class makes another one cheaper, and
    a move from a free class, or further moves, once a price is paid for it.
    """
    values: dict[str, Any] = {
        "household": household_id,
        "on": on,
        "in_class": [EnrollmentStatus.ACTIVE.value, EnrollmentStatus.ON_OFFER.value],
        "refunded": [status.value for status in COUNTED],
        "as_credit": [cause.value for cause in (CreditCause.SPENT, CreditCause.RETURNED, *CREDITED)],
    }
    with connection.cursor() as cursor:
        cursor.execute(_PAID_CHILDREN, values)
        return list(dict.fromkeys(child_id for (child_id,) in cursor))
