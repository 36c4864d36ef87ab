"""Approved refunds: made at Stripe, and settled by its answer.

A refund is never tried again under another key. One whose outcome is not known is looked up, not repeated.
"""

import datetime
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from billing.ledger.dated import dated_by
from billing.ledger.refunds import give_code_back
from billing.models import (
    KnownIntent,
    Payment,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
)
from billing.models.refunds import GONE_BACK
from billing.stripe import breaker, gateway
from billing.stripe.objects import instant, uuid_in
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.jobs.for_each import for_each
from csf.models import Instance, StaffTask
from csf.money import money_text
from csf.state import Stale
from orders.locks import lock_order

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)


KEY_LIFE = timedelta(hours=23)  # a key is good for a day at Stripe; a little less, and only reading is safe


UNDER_WAY = [RefundStatus.SENDING, RefundStatus.UNKNOWN]


AT_ONCE = 100


def refund_waiting() -> bool:
    """Make the approved refunds at Stripe and look up those without an outcome; True if some are left and
    Stripe answers."""
    if Instance.why_quarantined():
        return False
    ids = list(Refund.objects.waiting().order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    # If one fails, its lease ends and the sweep picks it up.
    tally = for_each(ids, run_refund, doing="refunding", in_time=breaker.while_it_answers)
    return (tally.done + tally.failed < len(ids) or len(ids) == AT_ONCE) and not breaker.is_away()


def recover_refunds() -> None:
    """Each minute: refunds whose worker was lost are looked up."""
    lost = Refund.objects.filter(status=RefundStatus.SENDING, leased_until__lt=Now(), next_look_at=None)
    for refund in lost:
        with suppress(Stale):
            _look_later(refund, "the worker was lost")


def run_refund(refund_id: int) -> None:
    """Make one refund, or find out what happened to it. It may be repeated, and killed at any point."""
    refund = _claim(refund_id)
    if refund is None:
        return
    try:
        settle_refund(_made(refund))
    except gateway.OutcomeUnknown as error:
        _look_later(refund, str(error))
    except gateway.StripeRefused as error:
        _refused(refund, error)
    except Stale as lost:  # an event settled it meanwhile
        logger.info("refund %s: %s", refund.pk, lost)


def _claim(refund_id: int) -> Refund | None:
    """Take the refund for LEASE, so that no two workers ask Stripe at once."""
    with transaction.atomic():
        free = Refund.objects.waiting().filter(pk=refund_id)
        if not free.update(leased_until=Now() + LEASE, tries=F("tries") + 1, next_look_at=None):
            return None
        refund = Refund.objects.select_related("payment").get(pk=refund_id)
        if refund.status != RefundStatus.SENDING:
            refund.transition_to(RefundStatus.SENDING)
    return refund


def _made(refund: Refund) -> gateway.Object:
    """Stripe's refund for ours: made, made before, or found."""
    if refund.stripe_refund_id:
        return gateway.retrieve_refund(refund.stripe_refund_id)
    intent = refund.stripe_payment_intent_id or _payment_intent_of(refund.payment)
    if not refund.stripe_payment_intent_id:
        Refund.objects.filter(pk=refund.pk).update(stripe_payment_intent_id=intent)
        refund.stripe_payment_intent_id = intent
    # Looked up first, always: it may have been made after the backup that this database was restored from.
    found = gateway.find_refund(payment_intent=intent, refund=str(refund.public_id))
    first_sent = refund.transitions.filter(to_status=RefundStatus.SENDING).earliest("pk")
    is_young = clock.now() - first_sent.created_at < KEY_LIFE
    if found is not None or not is_young:
        return found or _not_made(refund)
    return gateway.create_refund(
        payment_intent=intent,
        amount_cents=refund.amount_cents,
        metadata={"refund": str(refund.public_id)},
        key=f"re:{refund.public_id}",
    )


def _not_made(refund: Refund) -> gateway.Object:
    """Sent more than a day ago, and Stripe has none: it never got there."""
    return {"status": "failed", "id": None, "metadata": {"refund": str(refund.public_id)}}


def _payment_intent_of(payment: Payment) -> str:
    if payment.stripe_payment_intent_id:
        return payment.stripe_payment_intent_id
    if known := KnownIntent.objects.filter(payment=payment).first():
        return known.stripe_payment_intent_id
    assert payment.stripe_invoice_id
    intent = gateway.intent_of_invoice(payment.stripe_invoice_id)
    KnownIntent.remember(intent, payment)
    return intent


def _look_later(refund: Refund, error: str) -> None:
    """No usable answer: Stripe is asked again later, and staff get a task after the last minute."""
    with transaction.atomic():
        refund.transition_to(
            RefundStatus.UNKNOWN,
            reason="no answer",
            error=error,
            leased_until=None,
            next_look_at=clock.now() + breaker.wait_to_ask_again(refund.tries),
        )
        if refund.tries >= len(breaker.WAITS) and not breaker.is_away():
            StaffTask.open(MoneyTask.REFUND_UNKNOWN, refund, error)


def _refused(refund: Refund, error: gateway.StripeRefused) -> None:
    """Stripe says no: perhaps it was made before, in the dashboard or by us; else a person decides."""
    intent = refund.stripe_payment_intent_id
    try:
        found = gateway.find_refund(payment_intent=intent, refund=str(refund.public_id)) if intent else None
    except (gateway.OutcomeUnknown, gateway.StripeRefused):
        _look_later(refund, str(error))
        return
    if found is not None:
        settle_refund(found)
        return
    with transaction.atomic():
        refund.transition_to(
            RefundStatus.FAILED,
            reason=str(error)[:300],
            error=str(error),
            leased_until=None,
            next_look_at=None,
        )
        StaffTask.open(MoneyTask.REFUND_FAILED, refund, str(error))


def _made_at(found: Mapping[str, Any]) -> datetime.datetime | None:
    """None for one that Stripe does not have."""
    return instant(found["created"]) if "created" in found else None


@again_after_deadlock
@transaction.atomic
@dated_by(_made_at)
def settle_refund(found: Mapping[str, Any]) -> Refund | None:
    """Write what Stripe says about a refund into ours; None if it is not ours.

    May be called any number of times, in any order; success is applied whenever it is seen, and a refund
    that the bank sent back later fails even after it succeeded.
    """
    refund = _ours(found)
    if refund is None:
        return None
    # A failure that Stripe itself reported is final; where it only did not know the refund, success counts.
    was_missing = refund.status == RefundStatus.FAILED and refund.stripe_refund_id is None
    if found["id"] and refund.stripe_refund_id is None:
        refund.stripe_refund_id = found["id"]
        refund.save(update_fields=["stripe_refund_id"])
    match found["status"]:
        case "succeeded" if was_missing or refund.status in UNDER_WAY:
            refund.transition_to(RefundStatus.SUCCEEDED, leased_until=None, next_look_at=None)
            give_code_back(refund.order)
        case "failed" | "canceled" if refund.status in [*UNDER_WAY, *GONE_BACK]:
            _failed(refund, str(found.get("failure_reason") or found["status"]))
        case "pending" | "requires_action" if refund.status == RefundStatus.SENDING:
            # The bank takes its time: asked again tomorrow, unless an event reports it earlier.
            Refund.objects.filter(pk=refund.pk).update(
                leased_until=None, next_look_at=clock.now() + timedelta(days=1)
            )
    return refund


def _failed(refund: Refund, why: str) -> None:
    refund.transition_to(
        RefundStatus.FAILED, reason=why[:300], error=why, leased_until=None, next_look_at=None
    )
    StaffTask.open(
        MoneyTask.REFUND_FAILED, refund, f"The bank says {why!r}: the family has not received the money."
    )


def _ours(found: Mapping[str, Any]) -> Refund | None:
    """Ours by its metadata, under the locks of its order and itself."""
    public_id = uuid_in(found, "refund")
    refund = Refund.objects.filter(public_id=public_id).first() if public_id else None
    if refund is None and found["id"]:
        refund = Refund.objects.filter(stripe_refund_id=found["id"]).first()
    if refund is None:
        return None
    lock_order(refund.order_id)
    return Refund.objects.select_for_update(no_key=True, of=("self",)).get(pk=refund.pk)


@again_after_deadlock
@transaction.atomic
def book_external(found: Mapping[str, Any], payment: Payment) -> Refund | None:
    """Someone refunded in Stripe's dashboard; staff say why. None if nothing went back."""
    if found["status"] not in {"succeeded", "pending"}:
        return None
    lock_order(payment.order_id)
    refund, is_new = Refund.objects.get_or_create(
        stripe_refund_id=found["id"],
        defaults={
            "order": payment.order,
            "payment": payment,
            "amount_cents": found["amount"],
            "currency": found["currency"],
            "method": RefundMethod.STRIPE,
            "cause": RefundCause.DASHBOARD,
            "reason": "made in Stripe's dashboard",
            "status": RefundStatus.EXTERNAL,
        },
    )
    if is_new:
        detail = f"{money_text(found['amount'])} was refunded at Stripe. Should a class be cancelled too?"
        StaffTask.open(MoneyTask.REFUND_EXTERNAL, refund, detail)
        give_code_back(refund.order)
    return refund
