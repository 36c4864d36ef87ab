"""Money that goes back: asked for, approved by a person, made at Stripe, settled by Stripe's word.

Money that came late or twice is approved by the system. A refund is never tried again under another key, and
one whose outcome is not known is looked up, not repeated.
"""

import datetime
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Now

from billing.ledger.credits import grant
from billing.ledger.reductions import kept_cents, refundable
from billing.models import (
    Cancellation,
    CreditCause,
    Dispute,
    KnownIntent,
    Payment,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
)
from billing.models.installments import OWN_FAMILY
from billing.models.refunds import GONE_BACK
from billing.stripe import breaker, gateway
from billing.task_kinds import MoneyTask
from csf import clock
from csf.database.retry import again_after_deadlock
from csf.happened import dated_by
from csf.jobs.for_each import for_each
from csf.jobs.queue import enqueue
from csf.models import Instance, StaffTask
from csf.money import money_text
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.models import Household, User
from orders import promos
from orders.models import Order

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=120)
KEY_LIFE = timedelta(hours=23)  # a key is good for a day at Stripe; a little less, and only reading is safe
UNDER_WAY = [RefundStatus.SENDING, RefundStatus.UNKNOWN]
LOOK_AGAIN_MINUTES = [1, 5, 15, 60]
AT_ONCE = 100
HANDED_OVER = [RefundMethod.CASH, RefundMethod.CHECK, RefundMethod.OTHER]


def request_refund(
    *,
    payment: Payment,
    cents: int,
    cause: RefundCause,
    reason: str,
    by: User | None = None,
    cancellation: Cancellation | None = None,
    method: RefundMethod | None = None,
) -> Refund:
    """Ask for money of one payment to go back, the way it came unless a method is given. Runs in the caller's
    transaction, under the order's lock.

    Raises NotPossible for more than is left of the payment.
    """
    assert transaction.get_connection().in_atomic_block
    rooms = {found.pk: room for found, room in refundable(payment.order)}
    if not 0 < cents <= rooms.get(payment.pk, 0):
        left = money_text(rooms.get(payment.pk, 0))
        raise NotPossible(f"Of this payment {left} can still be refunded.")
    refund = Refund.objects.create(
        order=payment.order,
        payment=payment,
        cancellation=cancellation,
        amount_cents=cents,
        currency=payment.currency,
        method=method or payment.method,
        cause=cause,
        reason=reason[:300],
        requested_by=by,
        needs_second_person=_is_above_limit(payment.order, more_cents=cents),
    )
    StaffTask.open(MoneyTask.REFUND_TO_APPROVE, refund, f"{money_text(cents)}: {reason}"[:300])
    return refund


def _is_above_limit(order: Order, *, more_cents: int = 0) -> bool:
    """Whether the refunds of an order need two people: their sum counts, so slices do not get around it."""
    sum_cents = order.refunds.counted().aggregate(sum=Sum("amount_cents"))["sum"] or 0
    return bool(sum_cents + more_cents > settings.REFUND_TWO_PERSON_CENTS)


@again_after_deadlock
@transaction.atomic
def ask_for_refund(
    *, payment: Payment, cents: int, reason: str, by: User, method: RefundMethod | None = None
) -> Refund:
    """Staff ask for one outside of any cancellation. Raises NotPossible.

    Money goes back the way it came. Only once the card has not taken it, `method` may be another one.
    """
    if not reason.strip():
        raise NotPossible("Say why: it stays in the history.")
    Order.objects.select_for_update(no_key=True).get(pk=payment.order_id)
    if method not in {None, payment.method} and not has_failed_by_card(payment):
        raise NotPossible("Money goes back the way it came, unless that has failed before.")
    return request_refund(
        payment=payment, cents=cents, cause=RefundCause.STAFF, reason=reason, by=by, method=method
    )


def has_failed_by_card(payment: Payment) -> bool:
    return payment.refunds.filter(status=RefundStatus.FAILED, method=RefundMethod.STRIPE).exists()


def refund_unmatched(payment: Payment) -> None:
    """Money that came too late or twice goes back without waiting for a person; staff are told.

    Runs in the transaction that records the payment.
    """
    reason = "came too late, or twice"
    refund = Refund.objects.create(
        order=payment.order,
        payment=payment,
        amount_cents=payment.amount_cents,
        currency=payment.currency,
        method=payment.method,
        cause=RefundCause.UNMATCHED,
        reason=reason,
    )
    approve_by_system(refund, reason=reason)


def approve_by_system(refund: Refund, *, reason: str) -> None:
    """Nobody has to agree; staff are told. Runs in the caller's transaction."""
    refund.move(RefundStatus.APPROVED, reason=reason[:300])
    StaffTask.objects.about(refund).open().update(closed_at=Now())
    StaffTask.open(MoneyTask.REFUND_BY_SYSTEM, refund, f"{money_text(refund.amount_cents)}: {reason}")
    enqueue("billing.tasks.refund")


def is_within_rule(order: Order, *, more_cents: int = 0) -> bool:
    """Whether the refunds of an order, with `more_cents`, are few enough to be approved by rule."""
    sum_cents = order.refunds.counted().aggregate(sum=Sum("amount_cents"))["sum"] or 0
    limit_cents = min(settings.REFUND_BY_RULE_CENTS, settings.REFUND_TWO_PERSON_CENTS)
    return bool(sum_cents + more_cents <= limit_cents)


def approve_by_rule(refund: Refund) -> None:
    """Of a refund within the policy; above the owner's limit it stays with a person. Runs in the caller's
    transaction, under the order's lock."""
    is_disputed = Dispute.objects.undecided().filter(payment=refund.payment_id).exists()
    by_card = refund.method == RefundMethod.STRIPE
    if by_card and not is_disputed and is_within_rule(refund.order):
        limit = money_text(settings.REFUND_BY_RULE_CENTS)
        Refund.objects.filter(pk=refund.pk).update(is_by_rule=True)
        approve_by_system(refund, reason=f"by rule: within the policy, up to {limit} an order")


@again_after_deadlock
@transaction.atomic
def approve(*, refund: Refund, by: User, reason: str = "") -> None:
    """Let the money go back. Never to the own family, and not by the one who asked once the refunds of the
    order are above REFUND_TWO_PERSON_CENTS in sum. Raises NotPossible."""
    Household.objects.select_for_update(no_key=True).get(pk=refund.order.household_id)
    order = Order.objects.select_for_update(no_key=True).get(pk=refund.order_id)
    _refuse_own_family(refund, by)
    is_above = _is_above_limit(order)
    if is_above and refund.requested_by_id == by.pk:
        limit = money_text(settings.REFUND_TWO_PERSON_CENTS)
        raise NotPossible(
            f"The refunds of this order are above {limit} together: another person than the one who asked "
            "must approve it."
        )
    if refund.method == RefundMethod.CREDIT:
        _refuse_while_disputed(refund)
    _decide(refund, RefundStatus.APPROVED, by=by, reason=reason, needs_second_person=is_above, approved_by=by)
    if refund.method == RefundMethod.CREDIT:
        _give_as_credit(refund, by=by)
    enqueue("billing.tasks.refund")


def _give_as_credit(refund: Refund, *, by: User) -> None:
    grant(
        household=refund.order.household,
        cents=refund.amount_cents,
        cause=CreditCause.REFUND,
        reason=refund.reason,
        on=clock.today(),
        by=by,
        order=refund.order,
    )
    refund.move(RefundStatus.SUCCEEDED, by=by, reason="given as credit")
    _give_code_back(refund.order)


def _refuse_own_family(refund: Refund, by: User) -> None:
    if by.household_id == refund.order.household_id:
        raise NotPossible(OWN_FAMILY)


def _refuse_while_disputed(refund: Refund) -> None:
    if Dispute.objects.undecided().filter(payment=refund.payment_id).exists():
        raise NotPossible("The family's bank disputes this payment and may give the money back itself.")


@transaction.atomic
def reject(*, refund: Refund, by: User, reason: str) -> None:
    """The money stays here. Raises NotPossible."""
    if not reason.strip():
        raise NotPossible("Say why: the family may ask.")
    _decide(refund, RefundStatus.REJECTED, by=by, reason=reason)


def _decide(refund: Refund, to: RefundStatus, *, by: User, reason: str, **columns: Any) -> None:
    if refund.status != RefundStatus.REQUESTED:
        raise NotPossible("It was decided already.")
    try:
        refund.move(to, by=by, reason=reason[:300], **columns)
    except Stale as lost:
        raise NotPossible("It was decided already.") from lost
    StaffTask.objects.about(refund).filter(kind=MoneyTask.REFUND_TO_APPROVE).close(by=by)


@transaction.atomic
def record_handed_over(*, refund: Refund, by: User, reason: str = "") -> None:
    """Cash or a check went back to the family. Raises NotPossible."""
    Order.objects.select_for_update(no_key=True).get(pk=refund.order_id)
    if refund.method not in HANDED_OVER:
        raise NotPossible(f"This money goes back by {refund.get_method_display()}.")
    _refuse_own_family(refund, by)
    _refuse_while_disputed(refund)
    try:
        refund.move(RefundStatus.SUCCEEDED, by=by, reason=f"handed over {reason}".strip()[:300])
        _give_code_back(refund.order)
    except Stale as lost:
        raise NotPossible("It is not approved, or was handed over already.") from lost


# --- At Stripe ----------------------------------------------------------------------------------------------


def refund_waiting() -> bool:
    """Make the approved refunds at Stripe and look up those without an outcome; True if some are left and
    Stripe answers."""
    if Instance.why_quarantined():
        return False
    ids = list(Refund.objects.waiting().order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    # The lease of one that fails ends, and the sweep takes it up.
    tally = for_each(ids, run_refund, doing="refunding", in_time=breaker.while_it_answers)
    return (tally.done + tally.failed < len(ids) or len(ids) == AT_ONCE) and not breaker.is_away()


def recover_refunds() -> None:
    """Each minute: refunds whose worker was lost are looked up."""
    lost = Refund.objects.filter(status=RefundStatus.SENDING, leased_until__lt=Now(), next_look_at=None)
    for refund in lost:
        with suppress(Stale):
            _look_later(refund, "the worker was lost")


def run_refund(refund_id: int) -> None:
    """Make one refund, or find out what became of it. Safe to repeat, safe to die in."""
    refund = _claim(refund_id)
    if refund is None:
        return
    try:
        settle_refund(_made(refund))
    except gateway.OutcomeUnknown as error:
        _look_later(refund, str(error))
    except gateway.Refused as error:
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
            refund.move(RefundStatus.SENDING)
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
    """No usable answer: Stripe is asked again later, and a person is told after the last minute."""
    is_away = breaker.is_away()  # no fault of this refund: it goes on as soon as Stripe does
    minutes = dict(enumerate(LOOK_AGAIN_MINUTES, start=1)).get(refund.tries, 24 * 60)
    with transaction.atomic():
        refund.move(
            RefundStatus.UNKNOWN,
            reason="no answer",
            error=error,
            leased_until=None,
            next_look_at=clock.now() + timedelta(minutes=1 if is_away else minutes),
        )
        if refund.tries >= len(LOOK_AGAIN_MINUTES) and not is_away:
            StaffTask.open(MoneyTask.REFUND_UNKNOWN, refund, error)


def _refused(refund: Refund, error: gateway.Refused) -> None:
    """Stripe says no: perhaps it was made before, in the dashboard or by us; else a person decides."""
    intent = refund.stripe_payment_intent_id
    try:
        found = gateway.find_refund(payment_intent=intent, refund=str(refund.public_id)) if intent else None
    except (gateway.OutcomeUnknown, gateway.Refused):
        _look_later(refund, str(error))
        return
    if found is not None:
        settle_refund(found)
        return
    with transaction.atomic():
        refund.move(
            RefundStatus.FAILED,
            reason=str(error)[:300],
            error=str(error),
            leased_until=None,
            next_look_at=None,
        )
        StaffTask.open(MoneyTask.REFUND_FAILED, refund, str(error))


# --- Stripe's word ------------------------------------------------------------------------------------------


def _made_at(found: Mapping[str, Any]) -> datetime.datetime | None:
    """None for one that Stripe does not have."""
    return gateway.instant(found["created"]) if "created" in found else None


@again_after_deadlock
@transaction.atomic
@dated_by(_made_at)
def settle_refund(found: Mapping[str, Any]) -> Refund | None:
    """Write what Stripe says about a refund into ours; None if it is none of ours.

    May be called any number of times, in any order; success is applied whenever it is seen, and a refund
    that the bank sent back later fails even after it succeeded.
    """
    refund = _ours(found)
    if refund is None:
        return None
    # A failure that Stripe itself told is final; where it only had not heard of the refund, success counts.
    was_missing = refund.status == RefundStatus.FAILED and refund.stripe_refund_id is None
    if found["id"] and refund.stripe_refund_id is None:
        refund.stripe_refund_id = found["id"]
        refund.save(update_fields=["stripe_refund_id"])
    match found["status"]:
        case "succeeded" if was_missing or refund.status in UNDER_WAY:
            refund.move(RefundStatus.SUCCEEDED, leased_until=None, next_look_at=None)
            _give_code_back(refund.order)
        case "failed" | "canceled" if refund.status in [*UNDER_WAY, *GONE_BACK]:
            _failed(refund, str(found.get("failure_reason") or found["status"]))
        case "pending" | "requires_action" if refund.status == RefundStatus.SENDING:
            # The bank takes its time: asked again tomorrow, unless an event tells it before.
            Refund.objects.filter(pk=refund.pk).update(
                leased_until=None, next_look_at=clock.now() + timedelta(days=1)
            )
    return refund


def _failed(refund: Refund, why: str) -> None:
    refund.move(RefundStatus.FAILED, reason=why[:300], error=why, leased_until=None, next_look_at=None)
    StaffTask.open(MoneyTask.REFUND_FAILED, refund, f"The bank says {why!r}: the family has no money yet.")


def _ours(found: Mapping[str, Any]) -> Refund | None:
    """Ours by its metadata, under the locks of its order and itself."""
    public_id = gateway.uuid_in(found, "refund")
    refund = Refund.objects.filter(public_id=public_id).first() if public_id else None
    if refund is None and found["id"]:
        refund = Refund.objects.filter(stripe_refund_id=found["id"]).first()
    if refund is None:
        return None
    Order.objects.select_for_update(no_key=True).get(pk=refund.order_id)
    return Refund.objects.select_for_update(no_key=True, of=("self",)).get(pk=refund.pk)


@again_after_deadlock
@transaction.atomic
def book_external(found: Mapping[str, Any], payment: Payment) -> Refund | None:
    """Somebody refunded in Stripe's dashboard; staff say why. None if nothing went back."""
    if found["status"] not in {"succeeded", "pending"}:
        return None
    Order.objects.select_for_update(no_key=True).get(pk=payment.order_id)
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
        detail = f"{money_text(found['amount'])} went back without us. Is a class to be cancelled with it?"
        StaffTask.open(MoneyTask.REFUND_EXTERNAL, refund, detail)
        _give_code_back(refund.order)
    return refund


def _give_code_back(order: Order) -> None:
    """Of an order whose whole price went back, with nothing still to be paid, the promo code may be used
    again."""
    if not kept_cents(order) and not order.installments.open().exists():
        promos.give_back(order)
