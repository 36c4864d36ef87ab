"""A copy of production for trying things out, on a test account of Stripe's (STAGING_EMAILS_TO).

That account knows none of the customers, cards and pages of live mode. So nothing is asked about them: the
charges of their orders are stopped, and what was under way is over.
"""

from django.db import transaction

from billing.models import ChargeAttempt, ChargeStatus, InstallmentStatus
from billing.models.charges import OPEN_CHARGE
from csf.clock import Now
from orders.models import Order

REASON = "it belongs to live mode, and this is a copy for staging"


@transaction.atomic
def leave_live_mode_alone() -> int:
    """Return for how many orders the charges were stopped."""
    under_way = ChargeAttempt.objects.under_way()
    live = under_way.filter(installment__order__household__stripe_customer__livemode=True)
    for attempt in live.select_related("installment"):
        _end(attempt)
    orders = Order.objects.filter(household__stripe_customer__livemode=True, charges_paused_at=None)
    return orders.update(charges_paused_at=Now())


def _end(attempt: ChargeAttempt) -> None:
    ChargeAttempt.objects.filter(pk=attempt.pk, session_closed_at=None).update(session_closed_at=Now())
    if attempt.status in OPEN_CHARGE:
        attempt.transition_to(ChargeStatus.NOT_EXECUTED, reason=REASON, leased_until=None, next_look_at=None)
    if attempt.installment.status == InstallmentStatus.CHARGING:
        attempt.give_back(reason=REASON)
