"""A refund is on its way, or was handed over."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import RefundStatus, RefundTransition
from notifications.facts import refunds
from notifications.spec import Email, RequiredFor, Trigger, after


def owes(moved: RefundTransition) -> bool:
    return moved.to_status == RefundStatus.SUCCEEDED


def still_refunded(facts: Iterable[int]) -> set[int]:
    went = RefundTransition.objects.filter(pk__in=facts, refund__status=RefundStatus.SUCCEEDED)
    return set(went.values_list("pk", flat=True))


EMAIL = Email(
    kind="refund_issued",
    title=_("Refund issued"),
    when="Stripe says that a refund went",
    topic="money",
    trigger=Trigger(RefundTransition, owes=owes, order=refunds.ORDER_OF),
    required_for=RequiredFor(
        RefundTransition.objects.filter(to_status="succeeded"),
        household=f"{refunds.ORDER_OF}__household",
        about="refund",
    ),
    recipients=refunds.family,
    family=attrgetter(refunds.FAMILY),
    snapshot=refunds.snapshot,
    key=refunds.key,
    accent="green",
    is_copy_harmless=False,
    expires=after(timedelta(days=7)),
    still_true=still_refunded,
    samples=refunds.SAMPLES,
)
