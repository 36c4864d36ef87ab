"""The account of a family: what it was given and what it spent. Every function takes the family's lock."""

import datetime
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from billing.ledger.reductions import CREDITED, refundable
from billing.models import Cancellation, ClosureLine, Credit, CreditCause
from billing.models.installments import OWN_FAMILY
from csf.jobs.declared import daily_job
from csf.jobs.for_each import for_each
from csf.jobs.report import Line, Report
from csf.money import money_text
from csf.refusal import NotPossible
from enrollments.locks import lock_household
from enrollments.models import Household, User
from orders.models import Order

logger = logging.getLogger(__name__)


class NotEnoughCredit(NotPossible):
    """The family has less than that; the message says so."""


@transaction.atomic
def grant(
    *,
    household: Household,
    cents: int,
    cause: CreditCause,
    reason: str,
    on: datetime.date,
    by: User | None = None,
    order: Order | None = None,
    cancellation: Cancellation | None = None,
    closure_line: ClosureLine | None = None,
) -> Credit:
    """Give a family credit, valid for CREDIT_LIFE_DAYS from that day.

    Raises NotPossible for staff who would credit their own family.
    """
    if cause == CreditCause.GRANTED and by and by.household_id == household.pk:
        raise NotPossible(OWN_FAMILY)
    _lock(household)
    return Credit.objects.create(
        household=household,
        amount_cents=cents,
        cause=cause,
        reason=reason[:300],
        by=by,
        order=order,
        cancellation=cancellation,
        closure_line=closure_line,
        expires_on=credit_ends_on(on),
    )


@transaction.atomic
def give_for(*, order: Order, cents: int, on: datetime.date, **why: Any) -> None:
    """Give credit for what a family no longer owes of an order. `why` is for `grant`.

    What it had paid with credit keeps the last days of that credit: ordering and cancelling prolongs nothing.
    """
    for expires_on, part_cents in ends_of(order, cents=cents, on=on):
        _lock(order.household)
        Credit.objects.create(
            household=order.household, order=order, amount_cents=part_cents, expires_on=expires_on, **why
        )


def ends_of(
    order: Order, *, cents: int, on: datetime.date, refund_cents: int = 0
) -> list[tuple[datetime.date | None, int]]:
    """The last days of a credit of so many cents for this order, each with its share.

    What was paid with money is given first, but for `refund_cents`, which are about to go back.
    """
    given_cents = order.credits.filter(cause__in=CREDITED).balance_cents()
    paid_cents = sum(room_cents for _, room_cents in refundable(order)) - refund_cents
    fresh_cents = min(cents, max(paid_cents - given_cents, 0))
    ends = {credit_ends_on(on): fresh_cents} if fresh_cents else {}
    skip_cents, left_cents = max(given_cents - paid_cents, 0), cents - fresh_cents
    for grant_, spent in reversed(_spent_on(order)):
        skipped = min(skip_cents, spent)
        part_cents = min(spent - skipped, left_cents)
        skip_cents, left_cents = skip_cents - skipped, left_cents - part_cents
        if part_cents:
            end = grant_.credit.expires_on
            ends[end] = ends.get(end, 0) + part_cents
    if left_cents:  # it was given for more than was paid: the office decided so
        ends[credit_ends_on(on)] = ends.get(credit_ends_on(on), 0) + left_cents
    return list(ends.items())


def _spent_on(order: Order) -> "list[tuple[Grant, int]]":
    """The credits that an order took from, what ends first before the others."""
    spent: dict[int | None, list[tuple[Grant, int]]] = {}
    _replay(order.household.credits.order_by("pk"), spent)
    return spent.get(order.pk, [])


def credit_ends_on(given_on: datetime.date) -> datetime.date | None:
    """The last day of a credit that is given on that day; None if credit never ends."""
    life_days = settings.CREDIT_LIFE_DAYS
    return given_on + timedelta(days=life_days) if life_days else None


@transaction.atomic
def take_back(*, household: Household, cents: int, reason: str, on: datetime.date, by: User) -> Credit:
    """A person corrects what was given. Raises NotEnoughCredit."""
    _lock(household)
    _end_credits(household, on=on)
    balance_cents = household.credits.balance_cents()
    if balance_cents < cents:
        raise NotEnoughCredit(f"The family has only {money_text(balance_cents)} left.")
    return Credit.objects.create(
        household=household,
        amount_cents=-cents,
        cause=CreditCause.TAKEN_BACK,
        reason=reason[:300],
        by=by,
    )


@dataclass
class Grant:
    """A credit that was given, with what is left of it."""

    credit: Credit
    left_cents: int

    def is_over(self, on: datetime.date) -> bool:
        return self.credit.expires_on is not None and self.credit.expires_on < on


def grants_left(household: Household) -> list[Grant]:
    """What is left of each credit, what ends first before the others.

    What ends first is spent first, and an order that gives credit back gives it to the lines it came from.
    """
    return _replay(household.credits.order_by("pk"))


def _replay(
    rows: Iterable[Credit], spent: dict[int | None, list[tuple[Grant, int]]] | None = None
) -> list[Grant]:
    """With `spent`, also which credits each order took from, by its id."""
    grants: dict[int, Grant] = {}
    spent = {} if spent is None else spent
    for row in rows:
        match row.cause:
            case CreditCause.SPENT:
                spent[row.order_id] = _take(grants.values(), -row.amount_cents)
            case CreditCause.TAKEN_BACK:
                _take(grants.values(), -row.amount_cents)
            case CreditCause.RETURNED:
                for grant, cents in spent.pop(row.order_id, []):
                    grant.left_cents += cents
            case CreditCause.EXPIRED:
                grants[row.grant_id or 0].left_cents += row.amount_cents
            case _:
                grants[row.pk] = Grant(row, row.amount_cents)
    return _by_end(grants.values())


def _by_end(grants: Iterable[Grant]) -> list[Grant]:
    return sorted(grants, key=lambda grant: (grant.credit.expires_on or datetime.date.max, grant.credit.pk))


def _take(grants: Iterable[Grant], cents: int) -> list[tuple[Grant, int]]:
    """Starting with what ends first; return how much each lost."""
    parts = []
    for grant in _by_end(grants):
        part = min(grant.left_cents, cents)
        if part:
            grant.left_cents -= part
            cents -= part
            parts.append((grant, part))
    return parts


def spendable(household: Household, *, on: datetime.date) -> list[Grant]:
    """What can be spent on that day, what ends first before the others."""
    return _not_over(grants_left(household), on=on)


def _not_over(grants: Iterable[Grant], *, on: datetime.date) -> list[Grant]:
    return [grant for grant in grants if grant.left_cents and not grant.is_over(on)]


@dataclass(frozen=True)
class CreditAccount:
    """A family's credit as its page shows it: what can be spent, and every line, newest first."""

    left: list[Grant]
    lines: list[Credit]

    @property
    def balance_cents(self) -> int:
        return sum(grant.left_cents for grant in self.left)


def credit_account(household: Household, *, on: datetime.date) -> CreditAccount:
    lines = list(household.credits.select_related("order").order_by("pk"))
    return CreditAccount(_not_over(_replay(lines), on=on), lines[::-1])


@dataclass(frozen=True)
class CreditChoice:
    """What an order of that total costs in money, with the family's credit or without."""

    total_cents: int
    balance_cents: int
    is_used: bool

    @property
    def usable_cents(self) -> int:
        """What is left to pay must be nothing, or enough for a card."""
        use_cents = min(self.balance_cents, self.total_cents)
        if 0 < self.total_cents - use_cents < settings.MINIMUM_CHARGE_CENTS:
            use_cents = max(self.total_cents - settings.MINIMUM_CHARGE_CENTS, 0)
        return use_cents

    @property
    def used_cents(self) -> int:
        return self.usable_cents if self.is_used else 0

    @property
    def due_cents(self) -> int:
        return self.total_cents - self.used_cents


def credit_choice(
    household: Household, *, total_cents: int, on: datetime.date, is_used: bool
) -> CreditChoice:
    """For a page; changes nothing."""
    balance_cents = sum(grant.left_cents for grant in spendable(household, on=on))
    return CreditChoice(total_cents, balance_cents, is_used)


@transaction.atomic
def spend(*, order: Order, total_cents: int, on: datetime.date) -> int:
    """Pay as much of an order as the family's credit covers; returns the cents."""
    _lock(order.household)
    _end_credits(order.household, on=on)
    cents = CreditChoice(total_cents, order.household.credits.balance_cents(), is_used=True).used_cents
    if cents:
        Credit.objects.create(
            household=order.household, amount_cents=-cents, cause=CreditCause.SPENT, order=order
        )
    return cents


def spent_on(order: Order) -> int:
    """How many cents of an order are paid with credit."""
    return spent_cents(order.credits.all())


def spent_cents(lines: Iterable[Credit]) -> int:
    """Of the lines of one order."""
    used = {CreditCause.SPENT, CreditCause.RETURNED}
    return -sum(row.amount_cents for row in lines if row.cause in used)


def give_back(order: Order) -> None:
    """An order that ends unpaid returns what it took. Runs under the family's lock, which the caller took
    before the order's."""
    spent = order.credits.filter(cause=CreditCause.SPENT).first()
    if spent and not order.credits.filter(cause=CreditCause.RETURNED).exists():
        Credit.objects.create(
            household=order.household,
            amount_cents=-spent.amount_cents,
            cause=CreditCause.RETURNED,
            order=order,
        )


@daily_job(at="05:30")
def expire_credits(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Expire the unused credit whose last day has passed."""
    report = Report()
    over = Credit.objects.grants().filter(expires_on__lt=on)
    families = Household.objects.filter(pk__in=over.values("household"))
    families = families.annotate(balance_cents=Sum("credits__amount_cents")).filter(balance_cents__gt=0)

    def expire(household: Household) -> None:
        _expire(household, report, on=on, dry_run=dry_run)

    tally = for_each(families.order_by("pk"), expire, doing="ending credits", in_time=report.in_time)
    report.failed = tally.failed
    return report


@transaction.atomic
def _expire(household: Household, report: Report, *, on: datetime.date, dry_run: bool) -> None:
    _lock(household)
    if not dry_run:
        report.done += _end_credits(household, on=on)
        return
    for grant in _over(household, on=on):
        report.planned.append(Line(str(grant.credit), grant.credit.pk, grant.left_cents))
        report.done += 1


def _end_credits(household: Household, *, on: datetime.date) -> int:
    ended = _over(household, on=on)
    Credit.objects.bulk_create(
        Credit(
            household=household,
            amount_cents=-grant.left_cents,
            cause=CreditCause.EXPIRED,
            grant=grant.credit,
        )
        for grant in ended
    )
    return len(ended)


def _over(household: Household, *, on: datetime.date) -> list[Grant]:
    return [grant for grant in grants_left(household) if grant.left_cents and grant.is_over(on)]


def _lock(household: Household) -> None:
    lock_household(household.pk)
