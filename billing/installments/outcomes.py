"""How an attempt to charge a saved card can end, and what follows from each end."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from billing.installments.dunning import next_try_on
from billing.installments.invoices import closed_invoice, void
from billing.ledger.cards import card_of, refuse_card
from billing.ledger.locks import lock_installment
from billing.ledger.settle import settle_invoice
from billing.models import Card, ChargeAttempt, ChargeKind, ChargeStatus, Installment, InstallmentStatus
from billing.stripe import breaker, gateway
from billing.stripe.decline_codes import Decline, DeclineClass
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.models import StaffTask
from orders.models import Order, OrderStatus

logger = logging.getLogger(__name__)

UNLISTED_TRIES = 2
PARK_AFTER = timedelta(days=3)


@dataclass(frozen=True)
class Paid:
    invoice: gateway.Object


@dataclass(frozen=True)
class Declined:
    """The bank said no, or wants the parent to confirm: the decline's kind says which."""

    decline: Decline


@dataclass(frozen=True)
class NotWanted:
    """Nothing was charged: the order ended or was paused, or something else settled the installment."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """Nothing was charged, and it is no fault of the family's: Stripe refused what we asked for, or would
    charge something else than was agreed (`is_mismatch`)."""

    reason: str
    is_mismatch: bool = False


@dataclass(frozen=True)
class Unknown:
    """No usable answer: it may or may not have happened."""

    error: str


Outcome = Paid | Declined | NotWanted | Rejected | Unknown


def record(attempt: ChargeAttempt, outcome: Outcome) -> None:
    """Record how the attempt ended, and start what follows. Raises Stale if it was settled meanwhile."""
    match outcome:
        case Paid(invoice):
            settle_invoice(invoice)
        case Unknown(error):
            look_later(attempt, error)
        case Declined(decline):
            after_decline(attempt, decline)
            _leave_to_parent(attempt.installment)
        case NotWanted(reason):
            _end(attempt, reason)
            _leave_to_parent(attempt.installment)
        case Rejected():
            _reject(attempt, outcome)
            _leave_to_parent(attempt.installment)


@transaction.atomic
def after_decline(attempt: ChargeAttempt, decline: Decline) -> None:
    """The bank said no: record it, decide what follows, and queue the email about it.

    The attempt's transition is written last: its email shows the next date. Raises Stale if the attempt was
    settled meanwhile.
    """
    attempt = _locked(attempt)
    _decide(attempt, decline)
    is_known = ChargeAttempt.objects.filter(stripe_charge_id=decline.charge_id).exists()
    to = ChargeStatus.NEEDS_AUTH if decline.kind == DeclineClass.AUTHENTICATION else ChargeStatus.DECLINED
    attempt.transition_to(
        to,
        reason=decline.reason,
        decline_code=decline.reason,
        decline_class=decline.kind,
        stripe_charge_id=None if is_known else decline.charge_id or None,
        card_brand=attempt.card.brand if attempt.card else "",
        card_last4=attempt.card.last4 if attempt.card else "",
        leased_until=None,
        next_look_at=None,
    )


def _decide(attempt: ChargeAttempt, decline: Decline) -> None:
    installment, reason = attempt.installment, decline.kind.label
    if attempt.card:
        _remember(attempt.card, decline)
    if installment.order.status == OrderStatus.PLACED:  # from the waitlist: held for another card
        installment.stop_charging(reason=reason)
        return
    if installment.order.status != OrderStatus.CONFIRMED:
        _close(installment, reason="the order ended while it was charged")
        return
    match decline.kind:
        case DeclineClass.AUTHENTICATION:
            installment.transition_to(InstallmentStatus.NEEDS_AUTH, reason=reason)
        case DeclineClass.HARD:
            _ask_for_another_card(attempt, reason=reason)
            StaffTask.open(
                MoneyTask.CARD_REFUSED,
                installment,
                "The bank refused the card for good. Ask the family for another card.",
            )
        case DeclineClass.CARD:
            _ask_for_another_card(attempt, reason=reason)
        case _:
            _try_again(attempt, decline)


def _remember(card: Card, decline: Decline) -> None:
    """So that no other order tries it for nothing."""
    match decline.kind:
        case DeclineClass.HARD:
            refuse_card(card)
        case DeclineClass.CARD:
            Card.objects.filter(pk=card.pk, outdated_at=None).update(outdated_at=Now())


def _ask_for_another_card(attempt: ChargeAttempt, *, reason: str) -> None:
    """Unless the family saved another one while this was charged."""
    installment, on = attempt.installment, clock.today()
    card = card_of(installment.order)
    if card and card.pk != attempt.card_id and not card.why_not_charged(on):
        installment.wait_until(on + timedelta(days=1), reason="another card was saved in the meantime")
    else:
        installment.transition_to(InstallmentStatus.NEEDS_CARD, reason=reason)


def _try_again(attempt: ChargeAttempt, decline: Decline) -> None:
    installment, on = attempt.installment, attempt.charged_on
    assert on is not None
    again_on = next_try_on(due_on=installment.due_on, on=on, wait_days=decline.wait_days)
    tried = installment.attempts.filter(
        kind=ChargeKind.AUTO, card=attempt.card, status=ChargeStatus.DECLINED
    ).count()
    executed = tried + (attempt.kind == ChargeKind.AUTO)
    most = UNLISTED_TRIES if decline.kind == DeclineClass.UNLISTED else len(settings.DUNNING_DAYS)
    installment.wait_until(again_on or on + timedelta(days=1), reason=decline.kind.label)
    if decline.kind in {DeclineClass.UNLISTED, DeclineClass.LOOK}:
        StaffTask.open(MoneyTask.DECLINE_TO_LOOK_AT, attempt, f"Stripe's code is {decline.reason!r}.")
    if again_on is None or executed >= most:
        installment.transition_to(InstallmentStatus.EXHAUSTED, reason="the last try failed")
        StaffTask.open(
            MoneyTask.INSTALLMENT_EXHAUSTED, installment, "Move the date, split it, waive it or cancel it."
        )


@transaction.atomic
def after_nothing(installment: Installment, *, reason: str) -> None:
    """Nothing was executed at the bank: no try is counted, no email is sent, and the next day may try."""
    if _is_still_charging(installment, reason=reason):
        today = clock.today()
        again_on = next_try_on(due_on=installment.due_on, on=today) or today + timedelta(days=1)
        installment.wait_until(again_on, reason=reason[:300])


@transaction.atomic
def after_rejection(installment: Installment, *, reason: str) -> None:
    """Stripe refused what we asked for, and would again: no more tries until staff or the parent act."""
    if _is_still_charging(installment, reason=reason):
        installment.transition_to(InstallmentStatus.EXHAUSTED, reason=reason[:300])
        StaffTask.open(MoneyTask.CHARGE_REJECTED, installment, reason)


def _is_still_charging(installment: Installment, *, reason: str) -> bool:
    """False if it ended otherwise, or ends otherwise here because of its order."""
    installment.refresh_from_db()
    if installment.status != InstallmentStatus.CHARGING:
        return False
    order = Order.objects.get(pk=installment.order_id)
    if order.status == OrderStatus.PLACED:  # from the waitlist: the family is asked to pay itself
        installment.stop_charging(reason=reason[:300])
        StaffTask.open(MoneyTask.WAITLIST_CHARGE, order, reason)
    elif order.status != OrderStatus.CONFIRMED:
        _close(installment, reason=reason)
    return order.status == OrderStatus.CONFIRMED


def _close(installment: Installment, *, reason: str) -> None:
    installment.stop_charging(reason=reason[:300])
    installment.cancel(reason=reason[:300])


def look_later(attempt: ChargeAttempt, error: str) -> None:
    """No usable answer: nothing is concluded, and Stripe is asked again later; after three days staff are
    asked too."""
    now = clock.now()
    old = now - attempt.created_at > PARK_AFTER
    later = now + (breaker.LAST_WAIT if old else breaker.wait_to_ask_again(attempt.tries))
    if attempt.status != ChargeStatus.SENDING:  # it was only read
        same = ChargeAttempt.objects.filter(pk=attempt.pk, status=attempt.status)
        same.update(next_look_at=later, error=error)
        return
    with transaction.atomic():
        attempt.transition_to(
            ChargeStatus.UNKNOWN, reason="no answer", error=error, leased_until=None, next_look_at=later
        )
        if old:
            attempt.transition_to(ChargeStatus.PARKED, reason="unknown after three days")
        if old or (attempt.tries > len(breaker.WAITS) and not breaker.is_away()):
            StaffTask.open(MoneyTask.CHARGE_UNKNOWN, attempt, error)


def _locked(attempt: ChargeAttempt) -> ChargeAttempt:
    """The attempt as it is under the locks of its order and installment."""
    lock_installment(attempt.installment)
    return ChargeAttempt.objects.select_related("installment__order__household", "card").get(pk=attempt.pk)


def _leave_to_parent(installment: Installment) -> None:
    """A seat from the waitlist is paid on its order's page now, so the invoice must take no money. The end of
    the hold sees to it again."""
    if installment.order.status == OrderStatus.PLACED and installment.stripe_invoice_id:
        try:
            void(installment)
        except (gateway.OutcomeUnknown, gateway.StripeRefused) as error:
            logger.info("the invoice of installment %s is not void yet: %s", installment.pk, error)


def _end(attempt: ChargeAttempt, reason: str) -> None:
    with transaction.atomic():
        attempt.transition_to(
            ChargeStatus.NOT_EXECUTED, reason=reason[:300], leased_until=None, next_look_at=None
        )
        after_nothing(attempt.installment, reason=reason)


def _reject(attempt: ChargeAttempt, outcome: Rejected) -> None:
    """No email is sent and no try is counted. Staff decide, and until then it is not tried again."""
    reason = outcome.reason
    with transaction.atomic():
        attempt.transition_to(
            ChargeStatus.REJECTED, reason=reason[:300], leased_until=None, next_look_at=None
        )
        after_rejection(attempt.installment, reason=reason)
    if outcome.is_mismatch:
        _close_ended(attempt.installment)


def _close_ended(installment: Installment) -> None:
    """So that the next charge, by staff or the parent, gets a new invoice."""
    try:
        closed_invoice(installment)
    except (gateway.OutcomeUnknown, gateway.StripeRefused) as error:
        logger.info("the invoice of installment %s is not closed yet: %s", installment.pk, error)
