"""One "You're in" for an order that is paid (EMAIL_BUNDLE_ORDERS).

Receipt and confirmations stay facts with rows and keys of their own; each row refers to the email that
replaces it. So nothing is sent twice when the setting changes, and what cannot be bundled is sent by itself.
"""

from django.db.models import Q

from csf.state import move_rows
from enrollments.models import Enrollment, EnrollmentStatus, EnrollmentTransition
from notifications.models import EmailMessage, EmailStatus
from notifications.outbox import notify
from orders.models import Order

SENT_TOGETHER = "another email about the same order says it"


def bundle_order(joined: EnrollmentTransition) -> None:
    """When the last place of an order is confirmed, in the transaction that paid it. Does nothing before, and
    nothing for an order without a payment whose receipt is still queued."""
    order = joined.enrollment.order_item.order
    if Enrollment.objects.filter(order_item__order=order).exclude(status=EnrollmentStatus.ACTIVE).exists():
        return
    parts = EmailMessage.objects.filter(_parts_of(order), status=EmailStatus.QUEUED)
    payments = set(parts.filter(kind="payment_success").values_list("fact_id", flat=True))
    payment = order.payments.filter(pk__in=payments).order_by("-pk").first()
    if payment is None:
        return
    notify("order_paid", [payment])
    bundles = EmailMessage.objects.filter(kind="order_paid", fact_id=payment.pk)
    for bundle in bundles.filter(status=EmailStatus.QUEUED):
        covered = parts.filter(recipient=bundle.recipient_id)
        move_rows(covered, EmailStatus.EXPIRED, error=SENT_TOGETHER, sent_as=bundle)


def _parts_of(order: Order) -> Q:
    joined = EnrollmentTransition.objects.filter(enrollment__order_item__order=order)
    return Q(kind="payment_success", fact_id__in=order.payments.values("pk")) | Q(
        kind="enrollment_confirmation", fact_id__in=joined.values("pk")
    )
