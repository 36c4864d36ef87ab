"""When a saved card is charged: the days, the attempts that the jobs start, and what they leave to people.

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

from billing.installments.next_step import TOO_LATE, NextStep, next_step
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
from billing.task_kinds import MoneyTask
from csf.happened import happened
from csf.jobs.queue import enqueue
from csf.jobs.report import Report
from csf.jobs.schedules import daily_run_at
from csf.models import StaffTask
from csf.state import Stale, transition_many
from orders.locks import lock_orders
from orders.models import Order, OrderStatus

NOTHING_DONE = [ChargeStatus.NOT_EXECUTED, ChargeStatus.REJECTED]
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

    The staff page, the dry run and the job itself all use this.
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

    An installment gets one automatic attempt a day, no matter how often this runs.
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
            for order in lock_orders(orders)
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
                report.skip(str(installment), installment, "the order or the card has changed")
        started = {attempt.installment_id for attempt in _start(wanted, kind=ChargeKind.AUTO, on=on)}
        for installment, _ in wanted:
            if installment.pk not in started:
                report.skip(str(installment), installment, "another run is charging it")
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
        raise Stale("moved, put on hold or charged in the meantime")
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
        installment.transition_to(InstallmentStatus.NEEDS_CARD, reason=step.reason)
