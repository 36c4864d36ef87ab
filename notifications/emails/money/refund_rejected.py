"""Staff rejected a refund that the family had been told to expect."""

from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import RefundCause, RefundStatus, RefundTransition
from notifications.facts import refunds
from notifications.spec import Email, Trigger, after


def owes(moved: RefundTransition) -> bool:
    """Only if a person decided: what a lost dispute paid back is not refunded once more."""
    was_promised = moved.refund.cause == RefundCause.CANCELLATION
    return moved.to_status == RefundStatus.REJECTED and was_promised and moved.by_id is not None


EMAIL = Email(
    kind="refund_rejected",
    title=_("Refund not approved"),
    when="staff reject a refund that the family was promised",
    topic="money",
    trigger=Trigger(RefundTransition, owes=owes, order=refunds.ORDER_OF),
    recipients=refunds.family,
    family=attrgetter(refunds.FAMILY),
    snapshot=refunds.snapshot,
    key=refunds.key,
    accent="grey",
    is_copy_harmless=False,
    expires=after(timedelta(days=7)),
    samples=refunds.SAMPLES,
)
