"""What Stripe says about money, written into our rows.

Each function takes an object as Stripe returns it (integer cents), locks the order first, and may be called
any number of times, in any order, by webhook, page or repair job: success is applied whenever it is seen, a
failure closes only the attempt it belongs to, and nothing undoes a payment.
"""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from billing.ledger.cards import save_card, use_card_as_agreed
from billing.ledger.consent import plan_consent
from billing.ledger.dated import dated_by
from billing.ledger.differences import amount_text, report_unknown
from billing.ledger.locks import lock_installment
from billing.ledger.refunds import refund_unmatched
from billing.models import (
    BookDifference,
    Card,
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    CreditCause,
    Installment,
    InstallmentStatus,
    Payment,
    PaymentMethod,
)
from billing.models.charges import OPEN_CHARGE
from billing.models.installments import OPEN_INSTALLMENT
from billing.stripe.objects import instant, uuid_in
from billing.task_kinds import MoneyTask
from csf import clock
from csf.database.retry import again_after_deadlock
from csf.database.row_locks import locked
from csf.models import StaffTask
from csf.money import money_text
from enrollments.models import Household
from orders.locks import lock_courses_of
from orders.models import OrderStatus
from orders.prices.promos import redeem_again
from orders.unpaid import seats_to_retake

StripeObject = Mapping[str, Any]


class _CoursesNeeded(Exception):
    """The order has expired: its seats can only be taken again under the locks of its courses."""


@again_after_deadlock
def settle_payment_intent(intent: StripeObject) -> Payment | None:
    """Record the outcome of a PaymentIntent, and return the Payment if its money has arrived.

    Does nothing for an intent without our metadata. Money whose metadata names no row that is here becomes a
    task for staff.
    """
    try:
        return _settle_intent(intent, with_courses=False)
    except _CoursesNeeded:  # courses are locked before orders, so everything starts again
        return _settle_intent(intent, with_courses=True)


@transaction.atomic
@dated_by(lambda intent: instant(intent["created"]))
def _settle_intent(intent: StripeObject, *, with_courses: bool) -> Payment | None:
    attempt = _locked_attempt(intent, with_courses=with_courses)
    if attempt is None:
        if intent["status"] == "succeeded" and uuid_in(intent, "attempt"):
            report_unknown(BookDifference.Subject.PAYMENT, intent, intent["amount_received"])
        return None
    if intent["status"] == "succeeded":
        return _record_payment(attempt, intent, courses_are_locked=with_courses)
    error = intent.get("last_payment_error")
    if error and attempt.status in {ChargeStatus.WAITING, ChargeStatus.UNKNOWN}:
        code = (error.get("decline_code") or error.get("code") or "")[:100]
        attempt.transition_to(
            ChargeStatus.DECLINED, reason=code, decline_code=code, **_card_of(error.get("payment_method"))
        )
    return None


@again_after_deadlock
@transaction.atomic
def settle_checkout_session(session: StripeObject) -> None:
    """Note that a payment page is finished. An expired page without money makes its installment payable
    again."""
    attempt = _locked_attempt(session)
    if attempt is None or session["status"] == "open":
        return
    ChargeAttempt.objects.filter(pk=attempt.pk, session_closed_at=None).update(session_closed_at=clock.now())
    if session["status"] != "expired":
        return  # the payment is reported by its PaymentIntent
    if attempt.status in OPEN_CHARGE:
        attempt.transition_to(ChargeStatus.NOT_EXECUTED, reason="the payment page expired")
    if attempt.installment.status == InstallmentStatus.CHARGING:
        attempt.give_back(reason="the payment page expired")


def _paid_at(invoice: StripeObject) -> datetime.datetime:
    return instant((invoice.get("status_transitions") or {}).get("paid_at") or invoice["created"])


def _paid_at_if_paid(invoice: StripeObject) -> datetime.datetime | None:
    return _paid_at(invoice) if invoice["status"] == "paid" else None


@again_after_deadlock
@transaction.atomic
@dated_by(_paid_at_if_paid)
def settle_invoice(invoice: StripeObject) -> Payment | None:
    """Record that an installment's invoice is paid: by our own charge, on Stripe's page, or in its dashboard.

    Does nothing unless it is paid and has our metadata; a decline is reported by whoever asked for the
    charge. Money for an installment that is not here becomes a task for staff.
    """
    if invoice["status"] != "paid":
        return None
    installment = locked_installment(invoice)
    if installment is None:
        if uuid_in(invoice, "installment") and invoice["amount_paid"]:
            report_unknown(BookDifference.Subject.PAYMENT, invoice, invoice["amount_paid"])
        return None
    known = Payment.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if known is not None:
        return known
    off_stripe_cents = _off_stripe_cents(invoice)
    received_cents = max(invoice["amount_paid"], off_stripe_cents)
    if not received_cents:
        _report_balance(installment, invoice)
        return None
    order, agreed = installment.order, (installment.amount_cents, installment.order.currency)
    alive = order.status in {OrderStatus.CONFIRMED, OrderStatus.PLACED}
    as_agreed = (received_cents, invoice["currency"]) == agreed
    fits = alive and as_agreed and installment.status in OPEN_INSTALLMENT
    card = _end_attempt(installment, has_paid=not off_stripe_cents)
    if card and card.outdated_at:
        Card.objects.filter(pk=card.pk).update(outdated_at=None)
    if fits:
        installment.pay(reason=invoice["id"])
    elif installment.status == InstallmentStatus.CHARGING:
        installment.transition_to(
            InstallmentStatus.EXHAUSTED, reason="the amount received is not what was agreed"
        )
    payment = Payment.objects.create(
        order=order,
        installment=installment if fits else None,
        amount_cents=received_cents,
        currency=invoice["currency"],
        method=PaymentMethod.OTHER if off_stripe_cents else PaymentMethod.STRIPE,
        stripe_invoice_id=invoice["id"],
        received_at=_paid_at(invoice),
        card_brand=card.brand if card else "",
        card_last4=card.last4 if card else "",
    )
    if not fits and as_agreed and not off_stripe_cents:
        refund_unmatched(payment)
    elif not fits:
        received = amount_text(received_cents, invoice["currency"])
        detail = f"Invoice {invoice['id']} is paid with {received}; {money_text(agreed[0])} was agreed."
        StaffTask.open(MoneyTask.UNMATCHED_PAYMENT, payment, detail)
    elif order.status == OrderStatus.PLACED:  # a seat from the waitlist, charged to the saved card
        order.confirm(reason="paid")
    return payment


def _off_stripe_cents(invoice: StripeObject) -> int:
    """What staff recorded in Stripe's dashboard as paid outside of Stripe: no card has paid it.

    Stripe returns the amount only to requests with `expand`; accounts on an older version have a flag.
    """
    if invoice.get("amount_paid_off_stripe") is not None:
        return int(invoice["amount_paid_off_stripe"])
    return int(invoice["amount_paid"]) if invoice.get("paid_out_of_band") else 0


def _report_balance(installment: Installment, invoice: StripeObject) -> None:
    """Paid without money: staff have given the family a balance at Stripe, which our books know nothing
    of."""
    _end_attempt(installment, has_paid=False)
    if installment.status not in OPEN_INSTALLMENT:
        return
    if installment.status == InstallmentStatus.CHARGING:
        installment.transition_to(InstallmentStatus.EXHAUSTED, reason="paid from a balance at Stripe")
    detail = f"Invoice {invoice['id']} was paid from a balance at Stripe. Give credit, or waive it."
    StaffTask.open(MoneyTask.CHARGE_REJECTED, installment, detail)


def _end_attempt(installment: Installment, *, has_paid: bool) -> Card | None:
    """End the open attempt of an invoice that is paid; return the card if it was charged.

    Paid elsewhere, while the attempt waited for a worker, it charged nothing.
    """
    attempts = installment.attempts.on_saved_cards().filter(status__in=OPEN_CHARGE)
    attempt = attempts.select_related("card").order_by("pk").first()
    if attempt is None:
        return None
    has_paid = has_paid and attempt.status != ChargeStatus.CREATED
    to = ChargeStatus.SUCCEEDED if has_paid else ChargeStatus.NOT_EXECUTED
    attempt.transition_to(to, leased_until=None, next_look_at=None)
    return attempt.card if has_paid else None


def locked_installment(invoice: StripeObject) -> Installment | None:
    """The installment that the invoice's metadata names, under the locks of its order and itself."""
    try:
        public_id = uuid.UUID((invoice.get("metadata") or {}).get("installment", ""))
    except ValueError:
        return None
    installment = Installment.objects.filter(public_id=public_id).first()
    return lock_installment(installment) if installment else None


def _locked_attempt(thing: StripeObject, *, with_courses: bool = False) -> ChargeAttempt | None:
    """The attempt that the object's metadata names, under the locks of its order and installment."""
    try:
        public_id = uuid.UUID((thing.get("metadata") or {}).get("attempt", ""))
    except ValueError:
        return None
    attempt = ChargeAttempt.objects.filter(public_id=public_id).select_related("installment").first()
    if attempt is None:
        return None
    order_id = attempt.installment.order_id
    # Its money may bring the family's card, and a family is locked before courses and orders.
    families = Household.objects.filter(orders=order_id, orders__consent__isnull=False)
    locked(Household.objects.filter(pk__in=families.values("pk")))
    if with_courses:
        lock_courses_of(order_id)
    lock_installment(attempt.installment)
    return ChargeAttempt.objects.select_related("installment__order").get(pk=attempt.pk)


def _record_payment(attempt: ChargeAttempt, intent: StripeObject, *, courses_are_locked: bool) -> Payment:
    known = Payment.objects.filter(stripe_payment_intent_id=intent["id"]).first()
    if known is not None:
        return known
    installment, order = attempt.installment, attempt.installment.order
    seats = None
    as_agreed = (intent["amount_received"], intent["currency"]) == (attempt.amount_cents, attempt.currency)
    fits = as_agreed
    if fits and order.status == OrderStatus.EXPIRED:
        if not courses_are_locked:
            raise _CoursesNeeded
        # Credit that went back may be spent: the order is no longer paid by this money alone.
        has_credit_back = order.credits.filter(cause=CreditCause.RETURNED).exists()
        seats = None if has_credit_back else seats_to_retake(order)
        if seats is not None and not redeem_again(order):  # nor by its promo code, which is used up
            seats = None
        fits = seats is not None
    else:
        fits = fits and installment.status in OPEN_INSTALLMENT
    if attempt.status != ChargeStatus.SUCCEEDED:
        attempt.transition_to(ChargeStatus.SUCCEEDED)
    if fits:
        installment.pay(reason=intent["id"])
    elif installment.status == InstallmentStatus.CHARGING:  # the page is over, so nothing else would end this
        attempt.give_back(reason="the amount received is not what was agreed")
    payment = Payment.objects.create(
        order=order,
        installment=installment if fits else None,
        amount_cents=intent["amount_received"],
        currency=intent["currency"],
        stripe_payment_intent_id=intent["id"],
        received_at=instant(intent["created"]),
        stripe_charge_id=_charge_id(intent),
        **_card_of(intent.get("payment_method")),
    )
    # Never raise from here on: it would roll back the row of money that is really there.
    method = intent.get("payment_method")
    # The page of one installment does not ask to keep the card.
    consent = plan_consent(order) if attempt.kind == ChargeKind.CHECKOUT else None
    if isinstance(method, Mapping) and consent:
        use_card_as_agreed(save_card(household=order.household, method=method), consent=consent)
    if not fits and as_agreed:
        refund_unmatched(payment)
    elif not fits:
        StaffTask.open(MoneyTask.UNMATCHED_PAYMENT, payment, _mismatch(attempt, intent))
    elif order.status in {OrderStatus.PLACED, OrderStatus.EXPIRED}:
        for later in order.installments.filter(status=InstallmentStatus.CANCELLED):
            later.transition_to(InstallmentStatus.SCHEDULED, reason="the order is confirmed again")
        order.confirm(reason="paid", seats=seats)
    return payment


def _card_of(method: Any) -> dict[str, Any]:
    """Brand and last four of a payment method, if it came along as an object and not as an id."""
    card = (method.get("card") or {}) if isinstance(method, Mapping) else {}
    return {"card_brand": card.get("brand") or "", "card_last4": card.get("last4") or ""}


def _charge_id(intent: StripeObject) -> str:
    charge = intent.get("latest_charge") or ""
    return charge if isinstance(charge, str) else str(charge["id"])


def _mismatch(attempt: ChargeAttempt, intent: StripeObject) -> str:
    received = amount_text(intent["amount_received"], intent["currency"])
    agreed = amount_text(attempt.amount_cents, attempt.currency)
    installment = attempt.installment
    return (
        f"Stripe received {received} for {attempt} ({agreed} was agreed; the installment is "
        f"{installment.get_status_display()}, the order {installment.order.get_status_display()})."
    )
