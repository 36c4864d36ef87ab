"""Stripe's page where a parent pays the part of an order that is due at once."""

import datetime
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from billing.installments.customers import ensure_customer, with_customer
from billing.ledger.consent import plan_consent
from billing.ledger.settle import settle_checkout_session, settle_payment_intent
from billing.models import (
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    InstallmentStatus,
    StripeCustomer,
)
from billing.models.charges import OPEN_CHARGE
from billing.stripe import gateway
from billing.stripe.page_calls import PageRefused, StripeUnavailable, asking_stripe
from billing.task_kinds import MoneyTask
from csf import clock
from csf.database.retry import again_after_deadlock
from csf.database.row_locks import locked
from csf.models import StaffTask
from csf.state import Stale
from enrollments.models import Enrollment, User
from orders.locks import lock_order
from orders.models import Order, OrderStatus
from orders.waitlist import is_promotion

# Stripe wants a payment page to live 30 minutes at least; two more are for the way there.
SESSION_LIFE = timedelta(minutes=32)


HOLD_AFTER_SESSION = timedelta(minutes=3)


LONGEST_HOLD = timedelta(hours=2)


class NothingToPay(Exception):
    """The order is paid, over, or its seats are no longer held."""


class BeingCharged(NothingToPay):
    """The family's saved card is being charged: one payment at a time."""


@gateway.within(gateway.PAGE_S)
def payment_page(*, order: Order, by: User, now: datetime.datetime) -> str:
    """The address of Stripe's page where the first part of the order can be paid.

    Returns the open page again if there is one; a second page is made only after the first is confirmed
    closed, because two open pages could both be paid. Raises NothingToPay or StripeUnavailable.
    """
    attempt = _attempt_to_pay(order=order, by=by, now=now)
    if attempt.can_take_money(now) and is_still_open(attempt):
        return attempt.session_url
    if attempt.stripe_session_id:
        close_page(attempt)
        attempt = _attempt_to_pay(order=order, by=by, now=now)
    return open_page(attempt)


def is_still_open(attempt: ChargeAttempt) -> bool:
    """False for a page that was paid, or has expired, without being reported to us. True if Stripe does not
    say: nothing can be paid twice on the same page."""
    assert attempt.stripe_session_id
    try:
        return bool(gateway.retrieve_checkout_session(attempt.stripe_session_id)["status"] == "open")
    except gateway.OutcomeUnknown:
        return True
    except gateway.StripeRefused as error:
        return not error.is_missing


@again_after_deadlock
@transaction.atomic
def _attempt_to_pay(*, order: Order, by: User, now: datetime.datetime) -> ChargeAttempt:
    """The attempt whose page may still take money, or a new one, for which the hold is extended."""
    order = lock_order(order.pk)
    if order.status != OrderStatus.PLACED:
        raise NothingToPay
    [installment] = locked(order.installments.filter(number=1))
    payable = installment.attempts.payable().order_by("-number").first()
    if payable is not None:
        return payable
    if installment.attempts.on_saved_cards().filter(status__in=OPEN_CHARGE).exists():
        raise BeingCharged
    session_end = (now + SESSION_LIFE).replace(microsecond=0)
    _prolong_hold(order, session_end + HOLD_AFTER_SESSION)
    if installment.status == InstallmentStatus.SCHEDULED:
        installment.start_charging(by=by)
    return ChargeAttempt.objects.create(
        installment=installment,
        number=installment.attempts.count() + 1,
        kind=ChargeKind.CHECKOUT,
        amount_cents=installment.amount_cents,
        currency=order.currency,
        session_expires_at=session_end,
    )


def _prolong_hold(order: Order, until: datetime.datetime) -> None:
    assert order.placed_at is not None
    if order.held_until is not None and until <= order.held_until:
        return
    if until > order.placed_at + _longest_hold(order):
        raise NothingToPay
    Order.objects.filter(pk=order.pk).update(held_until=until)
    Enrollment.objects.filter(order_item__order=order, expires_at__isnull=False).update(expires_at=until)


def _longest_hold(order: Order) -> timedelta:
    """A seat whose saved card was declined is held as long as an offer, and to its end a page can be
    opened."""
    in_offer = timedelta(hours=settings.OFFER_HOURS) + SESSION_LIFE + HOLD_AFTER_SESSION
    return max(LONGEST_HOLD, in_offer) if is_promotion(order) else LONGEST_HOLD


def open_page(attempt: ChargeAttempt) -> str:
    """The address of the attempt's page at Stripe, made on first use. Raises StripeUnavailable or
    PageRefused."""
    household = attempt.installment.order.household
    with asking_stripe(household):
        ensure_customer(household)
    is_repeat = attempt.status == ChargeStatus.UNKNOWN
    _try_to_move(attempt, ChargeStatus.SENDING)
    try:
        session = with_customer(household, lambda customer: _made_page(attempt, customer))
    except gateway.KeyReused:
        session = _page_made_before(attempt, is_answered=True)
    except gateway.StripeRefused as error:
        _page_refused(attempt, error, is_repeat=is_repeat)
        raise PageRefused from error
    except gateway.OutcomeUnknown as error:
        _try_to_move(attempt, ChargeStatus.UNKNOWN, reason="no answer", error=str(error))
        if not is_repeat:
            raise StripeUnavailable from error
        session = _page_made_before(attempt)
    page = {"stripe_session_id": session["id"], "session_url": session["url"] or ""}
    while attempt.status in {ChargeStatus.SENDING, ChargeStatus.UNKNOWN}:  # another click may have moved it
        _try_to_move(attempt, ChargeStatus.WAITING, **page)
    if not page["session_url"]:  # found closed: the next press makes another
        raise StripeUnavailable
    return str(page["session_url"])


def _made_page(attempt: ChargeAttempt, customer: StripeCustomer) -> gateway.Object:
    params = _session_params(attempt, str(customer.stripe_id))
    return gateway.create_checkout_session(params, key=customer.key(f"co:{attempt.public_id}"))


def _page_made_before(attempt: ChargeAttempt, *, is_answered: bool = False) -> gateway.Object:
    """The page of an attempt whose answer was lost. Raises StripeUnavailable; the next press makes another
    page if there is none and none can come any more.

    Stripe repeats a stored 500 for a day, whether or not a page was made. With `is_answered` it has said that
    the request was carried out, with what the page said then: a name on it has changed since.
    """
    order = attempt.installment.order
    with asking_stripe(order):
        customer = str(ensure_customer(order.household).stripe_id)
        session = gateway.find_checkout_session(customer=customer, attempt=str(attempt.public_id))
    if session is None:
        ends_at = attempt.session_expires_at
        if is_answered or (ends_at and ends_at <= clock.now()):
            _no_page(attempt, ChargeStatus.NOT_EXECUTED, reason="no payment page was made")
        raise StripeUnavailable
    return session


def _session_params(attempt: ChargeAttempt, customer_id: str) -> dict[str, Any]:
    """What the page says may change between two tries; then Stripe refuses the second under the same key."""
    order = attempt.installment.order
    assert attempt.session_expires_at is not None
    metadata = {
        "order": str(order.public_id),
        "installment": str(attempt.installment.public_id),
        "attempt": str(attempt.public_id),
    }
    page = f"{settings.SITE_URL}{attempt.return_path or order.get_absolute_url()}"
    return {
        "mode": "payment",
        "customer": customer_id,
        "client_reference_id": str(order.public_id),
        "payment_method_types": ["card"],  # else the account may add methods that settle days later
        "adaptive_pricing": {"enabled": False},  # else the page may show another currency
        "line_items": [_line(attempt, order)],
        "payment_intent_data": {"metadata": metadata, **_saving_the_card(attempt)},
        "metadata": metadata,
        "expires_at": int(attempt.session_expires_at.timestamp()),
        "success_url": f"{page}?paid=1",
        "cancel_url": page,
    }


def _saving_the_card(attempt: ChargeAttempt) -> dict[str, str]:
    """Only with a consent to later charges is the card kept for them, and only that of the first part."""
    keeps = attempt.kind == ChargeKind.CHECKOUT and plan_consent(attempt.installment.order)
    return {"setup_future_usage": "off_session"} if keeps else {}


def _line(attempt: ChargeAttempt, order: Order) -> dict[str, Any]:
    names = [
        f"{item.child.first_name}: {item.course.title}"
        for item in order.items.filter(moved_to=None).select_related("child", "course")
    ]
    part = f", part {attempt.installment.number}" if attempt.kind == ChargeKind.PAGE else ""
    name = f"{settings.SCHOOL_NAME[: gateway.LONGEST_NAME]}, order {order.number}{part}"
    product = {"name": name, "description": ", ".join(names)[:300]}
    price = {"currency": attempt.currency, "unit_amount": attempt.amount_cents, "product_data": product}
    return {"price_data": price, "quantity": 1}


def _page_refused(attempt: ChargeAttempt, error: gateway.StripeRefused, *, is_repeat: bool) -> None:
    """No page was made, and staff get a task with the reason. A refused `expires_at` only means that an
    attempt reached Stripe too late; if it is new, the database's clock is slow."""
    late = error.param == "expires_at"
    with transaction.atomic():
        to = ChargeStatus.NOT_EXECUTED if late else ChargeStatus.REJECTED
        _no_page(attempt, to, reason=str(error)[:300], error=str(error))
        if not late:
            StaffTask.open(MoneyTask.CHARGE_REJECTED, attempt.installment.order, str(error))
        elif not is_repeat and clock.now() - attempt.created_at < timedelta(minutes=1):
            detail = f"No family can pay. The database's clock is probably slow. Stripe says: {error}"
            filters = {"status__exact": ChargeStatus.NOT_EXECUTED.value}
            StaffTask.open_for_many(MoneyTask.CHARGE_REJECTED, ChargeAttempt, filters, detail)


@transaction.atomic
def _no_page(attempt: ChargeAttempt, to: ChargeStatus, **columns: str) -> None:
    _try_to_move(attempt, to, **columns)
    attempt.installment.refresh_from_db()
    if attempt.installment.status == InstallmentStatus.CHARGING:
        attempt.give_back(reason="no payment page was made")


def close_payment_page(order: Order) -> None:
    """See that no page can take money for this order any more, and settle what was paid on it.

    Raises StripeUnavailable when Stripe does not answer: then nothing may be concluded.
    """
    for attempt in ChargeAttempt.objects.payable().filter(installment__order=order):
        if not attempt.stripe_session_id:
            recover_page(attempt)
        if attempt.stripe_session_id:
            close_page(attempt)


def recover_page(attempt: ChargeAttempt) -> None:
    """Find out whether Stripe made a page for an attempt that got no answer, by repeating the request."""
    try:
        open_page(attempt)
    except StripeUnavailable:
        attempt.refresh_from_db()
        if attempt.status in OPEN_CHARGE and not attempt.stripe_session_id:
            raise


def close_page(attempt: ChargeAttempt) -> None:
    """Close one page at Stripe and settle what happened on it. Raises StripeUnavailable."""
    assert attempt.stripe_session_id
    with asking_stripe(attempt.installment.order):
        session = _closed_session(attempt)
    if isinstance(intent := session.get("payment_intent"), dict):
        settle_payment_intent(intent)
    settle_checkout_session(session)


def _closed_session(attempt: ChargeAttempt) -> gateway.Object:
    session_id = str(attempt.stripe_session_id)
    try:
        session = gateway.retrieve_checkout_session(session_id)
    except gateway.StripeRefused as error:
        if not error.is_missing:
            raise
        # Made in the other mode, or in an account that we no longer use.
        return {"status": "expired", "metadata": {"attempt": str(attempt.public_id)}}
    if session["status"] == "open":
        session = gateway.expire_checkout_session(session_id, key=f"exp:{attempt.public_id}")
    return session


def _try_to_move(attempt: ChargeAttempt, to: ChargeStatus, **columns: Any) -> None:
    """A double click sends the same request twice and gets the same answer; the first one writes it."""
    try:
        attempt.transition_to(to, **columns)
    except Stale:
        attempt.refresh_from_db()
