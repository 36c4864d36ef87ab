"""When a saved card is charged, and what follows when the bank says no.

`settings.DUNNING_DAYS` counts from the due date. Only soft declines are tried again by themselves; the place
in the class is never taken away by this module.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Prefetch
from django.db.models.functions import Now

from billing.installments.next_step import TOO_LATE, NextStep, next_step
from billing.ledger.cards import card_of, refuse_card
from billing.models import (
    Cancellation,
    Card,
    CardAgreement,
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    Installment,
    InstallmentStatus,
)
from billing.stripe import breaker
from billing.stripe.decline_codes import Decline, DeclineClass
from billing.task_kinds import MoneyTask
from csf import clock
from csf.happened import happened
from csf.jobs.queue import enqueue
from csf.jobs.report import Report
from csf.jobs.schedules import daily_run_at
from csf.models import StaffTask
from csf.state import Stale, transition_many
from orders.models import Order, OrderStatus

NOTHING_DONE = [ChargeStatus.NOT_EXECUTED, ChargeStatus.REJECTED]
UNLISTED_TRIES = 2
LOOK_AGAIN_MINUTES = [1, 5, 15, 60]
PARK_AFTER = timedelta(days=3)
BATCH = 200


def next_try_on(*, due_on: datetime.date, on: datetime.date, wait_days: int = 0) -> datetime.date | None:
    """The first dunning day after `on`, not before the network's wait is over; None when there is none
    left."""
    earliest = max(on + timedelta(days=1), on + timedelta(days=wait_days))
    days = (due_on + timedelta(days=after) for after in settings.DUNNING_DAYS)
    return next((day for day in days if day >= earliest), None)


@dataclass(frozen=True)
class Candidate:
    """An installment that a run of the job looks at, and what happens to it."""

    installment: Installment
    step: NextStep

    @property
    def reason(self) -> str:
        """Why it is not charged; empty if it is."""
        return self.step.reason


def candidates(statuses: Iterable[InstallmentStatus], *, on: datetime.date) -> list[Candidate]:
    """Whom the job of that local date charges, and whom it skips, and why. Changes nothing.

    The staff page, the dry run and the job itself all ask this.
    """
    due = Installment.objects.filter(
        status__in=statuses, due_on__lte=on, order__status=OrderStatus.CONFIRMED
    ).exclude(status=InstallmentStatus.RETRY_WAIT, next_try_on__gt=on)
    current = CardAgreement.objects.current().select_related("card")
    changing = Cancellation.objects.waiting().filter(order=OuterRef("order"))
    found: list[Any] = list(
        due.annotate(is_being_changed=Exists(changing))
        .select_related("order__household")
        .prefetch_related(Prefetch("order__card_agreements", current, to_attr="current_agreements"))
        .order_by("due_on", "pk")
    )
    cards = {installment.pk: _current_card(installment.order) for installment in found}
    declined = _declines_today({card.pk for card in cards.values() if card}, on=on)
    return [
        Candidate(
            installment,
            next_step(
                installment,
                card=(card := cards[installment.pk]),
                on=on,
                is_being_changed=installment.is_being_changed,
                declines_today=declined[card.pk] if card else 0,
            ),
        )
        for installment in found
    ]


def _current_card(order: Any) -> Card | None:
    """From the prefetched list of at most one."""
    return next((agreement.card for agreement in order.current_agreements), None)


def _declines_today(card_ids: set[int], *, on: datetime.date) -> Counter[int]:
    rows = (
        ChargeAttempt.objects.filter(card__in=card_ids, charged_on=on, status=ChargeStatus.DECLINED)
        .values("card")
        .annotate(declines=Count("pk"))
    )
    return Counter({row["card"]: row["declines"] for row in rows})


def start_charges(
    statuses: Iterable[InstallmentStatus], *, on: datetime.date, dry_run: bool = False
) -> Report:
    """Write an attempt for each installment that is due on that local date, and wake the workers that charge.

    An installment gets one automatic attempt a day, however often this runs.
    """
    report = Report()
    ready = []
    for candidate in report.in_time(candidates(statuses, on=on)):
        if candidate.reason:
            report.skip(str(candidate.installment), candidate.installment, candidate.reason)
            if not dry_run:
                wanted_on = candidate.installment.next_try_on or candidate.installment.due_on
                tried_at = daily_run_at("charge_due_installments", on=wanted_on)
                with suppress(Stale), happened(at=tried_at):  # Stale: it moved since it was looked at
                    _leave_to_people(candidate)
        else:
            ready.append(candidate)
    if dry_run:
        for candidate in ready:
            report.plan(str(candidate.installment), candidate.installment)
        return report
    for start in report.in_time(range(0, len(ready), BATCH)):
        _start_batch(ready[start : start + BATCH], report, on=on)
    return report


def _start_batch(batch: list[Candidate], report: Report, *, on: datetime.date) -> None:
    with transaction.atomic():
        orders = Order.objects.filter(pk__in={candidate.installment.order_id for candidate in batch})
        alive = [
            order.pk
            for order in orders.select_for_update(no_key=True).order_by("pk")
            if order.status == OrderStatus.CONFIRMED and not order.charges_paused_at
        ]
        agreed = CardAgreement.objects.current().filter(order__in=alive).select_related("card")
        card_of = {
            agreement.order_id: agreement.card
            for agreement in agreed
            if not agreement.card.why_not_charged(on)
        }
        wanted = []
        for candidate in batch:
            installment = candidate.installment
            if card := card_of.get(installment.order_id):
                wanted.append((installment, card))
            else:
                report.skip(str(installment), installment, "the order or the card changed meanwhile")
        started = {attempt.installment_id for attempt in _start(wanted, kind=ChargeKind.AUTO, on=on)}
        for installment, _ in wanted:
            if installment.pk not in started:
                report.skip(str(installment), installment, "somebody else took it")
        report.done += len(started)
    enqueue("billing.tasks.charge")


def start_attempt(
    installment: Installment, *, card: Card | None, kind: ChargeKind, on: datetime.date
) -> ChargeAttempt:
    """One attempt on a saved card, under the order's lock.

    Raises Stale if the installment or its date has moved, if it is held or nobody agreed to its charge, or if
    today's automatic one was made already.
    """
    started = _start([(installment, card)], kind=kind, on=on)
    if not started:
        raise Stale("moved, held or charged meanwhile")
    return started[0]


def _start(
    wanted: Sequence[tuple[Installment, Card | None]], *, kind: ChargeKind, on: datetime.date
) -> list[ChargeAttempt]:
    """An attempt for each installment that still may be charged, under the locks of their orders; in a
    handful of statements, however many they are."""
    ids = [installment.pk for installment, _ in wanted]
    tries = ChargeAttempt.objects.filter(installment__in=ids)
    numbers = Counter(tries.values_list("installment", flat=True))
    today = tries.filter(kind=ChargeKind.AUTO, charged_on=on).exclude(status__in=NOTHING_DONE)
    charged = set(today.values_list("installment", flat=True)) if kind == ChargeKind.AUTO else set()
    free = Installment.objects.filter(pk__in=ids, held_at=None, consent__isnull=False)
    dates = dict(free.values_list("pk", "due_on"))
    waiting = Cancellation.objects.waiting().filter(order__installments__in=ids)
    changing = set(waiting.values_list("order", flat=True))
    card_of = {
        installment: card
        for installment, card in wanted
        if dates.get(installment.pk) == installment.due_on
        and installment.pk not in charged
        and installment.order_id not in changing
    }
    moved: list[Installment] = []
    for status in sorted({installment.status for installment in card_of}):
        same = [installment for installment in card_of if installment.status == status]
        moved += transition_many(
            same, InstallmentStatus.CHARGING, reason=ChargeKind(kind).label, next_try_on=None
        )
    return ChargeAttempt.objects.bulk_create(
        ChargeAttempt(
            installment=installment,
            number=numbers[installment.pk] + 1,
            kind=kind,
            amount_cents=installment.amount_cents,
            currency=installment.order.currency,
            charged_on=on,
            card=card_of[installment],
        )
        for installment in moved
    )


@transaction.atomic
def _leave_to_people(candidate: Candidate) -> None:
    """No card, or one that the bank does not take: the parent is asked for another. Too late for the consent:
    staff."""
    installment, step = candidate.installment, candidate.step
    if step.reason == TOO_LATE:
        StaffTask.open(MoneyTask.INSTALLMENT_LATE, installment, TOO_LATE)
    if step.card_problem and step.reason in {step.card_problem, TOO_LATE}:
        installment.move(InstallmentStatus.NEEDS_CARD, reason=step.reason)


@transaction.atomic
def after_decline(attempt: ChargeAttempt, decline: Decline) -> None:
    """The bank said no: write it down, decide what follows, and owe the email that says so.

    The attempt's transition is written last: its email tells the next date. Raises Stale if the attempt was
    settled meanwhile.
    """
    attempt = _locked(attempt)
    _decide(attempt, decline)
    is_known = ChargeAttempt.objects.filter(stripe_charge_id=decline.charge_id).exists()
    to = ChargeStatus.NEEDS_AUTH if decline.kind == DeclineClass.AUTHENTICATION else ChargeStatus.DECLINED
    attempt.move(
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
            installment.move(InstallmentStatus.NEEDS_AUTH, reason=reason)
        case DeclineClass.HARD:
            _ask_for_another_card(attempt, reason=reason)
            StaffTask.open(MoneyTask.CARD_REFUSED, installment, "The bank refused the card for good.")
        case DeclineClass.CARD:
            _ask_for_another_card(attempt, reason=reason)
        case _:
            _try_again(attempt, decline)


def _remember(card: Card, decline: Decline) -> None:
    """So that no other order asks it in vain."""
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
        installment.wait_until(on + timedelta(days=1), reason="another card was saved meanwhile")
    else:
        installment.move(InstallmentStatus.NEEDS_CARD, reason=reason)


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
        installment.move(InstallmentStatus.EXHAUSTED, reason="the last try failed")
        StaffTask.open(MoneyTask.INSTALLMENT_EXHAUSTED, installment, "New date, split, waive or cancel.")


@transaction.atomic
def after_nothing(installment: Installment, *, reason: str) -> None:
    """Nothing was executed at the bank: nothing counts, nobody is mailed, the next day may try."""
    if _is_still_charging(installment, reason=reason):
        today = clock.today()
        again_on = next_try_on(due_on=installment.due_on, on=today) or today + timedelta(days=1)
        installment.wait_until(again_on, reason=reason[:300])


@transaction.atomic
def after_rejection(installment: Installment, *, reason: str) -> None:
    """Stripe refused what we asked for, and would again: no more tries until staff or the parent act."""
    if _is_still_charging(installment, reason=reason):
        installment.move(InstallmentStatus.EXHAUSTED, reason=reason[:300])
        StaffTask.open(MoneyTask.CHARGE_REJECTED, installment, reason)


def _is_still_charging(installment: Installment, *, reason: str) -> bool:
    """False if something else became of it, or becomes of it here because of its order."""
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
    """No usable answer: nothing is concluded, and Stripe is asked again later; after three days a person is
    asked too."""
    now = clock.now()
    old = now - attempt.created_at > PARK_AFTER
    minutes = dict(enumerate(LOOK_AGAIN_MINUTES, start=1))
    is_away = breaker.is_away()  # no fault of this attempt: it goes on as soon as Stripe does
    wait_minutes = 1 if is_away else minutes.get(attempt.tries, 24 * 60)
    later = now + timedelta(minutes=24 * 60 if old else wait_minutes)
    if attempt.status != ChargeStatus.SENDING:  # it was only read
        same = ChargeAttempt.objects.filter(pk=attempt.pk, status=attempt.status)
        same.update(next_look_at=later, error=error)
        return
    with transaction.atomic():
        attempt.move(
            ChargeStatus.UNKNOWN, reason="no answer", error=error, leased_until=None, next_look_at=later
        )
        if old:
            attempt.move(ChargeStatus.PARKED, reason="not known after three days")
        if old or (attempt.tries > len(LOOK_AGAIN_MINUTES) and not is_away):
            StaffTask.open(MoneyTask.CHARGE_UNKNOWN, attempt, error)


def _locked(attempt: ChargeAttempt) -> ChargeAttempt:
    """The attempt as it is under the locks of its order and installment."""
    Order.objects.select_for_update(no_key=True).get(pk=attempt.installment.order_id)
    Installment.objects.select_for_update(no_key=True).get(pk=attempt.installment_id)
    return ChargeAttempt.objects.select_related("installment__order__household", "card").get(pk=attempt.pk)
