"""The facts behind the emails that daily jobs send about installments, and how they are read."""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Concat, JSONObject

from billing.models import Card, Installment, InstallmentStatus
from billing.models.installments import OPEN_INSTALLMENT
from enrollments.models import EnrollmentStatus, User
from notifications.facts.readers import readers
from orders.models import Order, OrderItem, OrderStatus

CHUNK = 1000
# Nothing happens automatically any more: the parent or staff have to act.
WAITING_FOR_PARENT = [
    InstallmentStatus.NEEDS_CARD,
    InstallmentStatus.NEEDS_AUTH,
    InstallmentStatus.EXHAUSTED,
]

# Only what the email shows: with a thousand rows, reading every other column takes longer than reading these.
_INSTALLMENT = [
    "public_id",
    "number",
    "due_on",
    "amount_cents",
    "created_at",
    "status",
    "next_try_on",
    "held_at",
    "consent",
    "order__public_id",
    "order__number",
    "order__charges_paused_at",
    "order__status",
    "order__household",
]
_CARD = [
    "id",
    "brand",
    "last4",
    "exp_month",
    "exp_year",
    "replaced_at",
    "refused_at",
    "outdated_at",
    "gone_at",
]
_GUARDIAN = ["id", "email", "first_name"]

Row = TypeVar("Row", bound=models.Model)


def scheduled() -> QuerySet[Installment]:
    """Those that will be charged on their due date, unless staff have stopped the charges."""
    return Installment.objects.filter(order__status=OrderStatus.CONFIRMED, status=InstallmentStatus.SCHEDULED)


def upcoming() -> QuerySet[Installment]:
    """Those that will be charged on their due date, as things stand."""
    return _undisturbed().filter(status=InstallmentStatus.SCHEDULED)


def waiting_for_parent() -> QuerySet[Installment]:
    return _undisturbed().filter(status__in=WAITING_FOR_PARENT)


def _undisturbed() -> QuerySet[Installment]:
    """In confirmed orders; if staff have stopped the charges, they also contact the family."""
    return Installment.objects.filter(
        order__status=OrderStatus.CONFIRMED, order__charges_paused_at=None, held_at=None
    )


def with_story(rows: QuerySet[Installment]) -> QuerySet[Installment]:
    """With all that an email says about them, in one statement."""
    parts = Installment.objects.filter(order=OuterRef("order")).order_by().values("order")
    still_open = parts.filter(status__in=OPEN_INSTALLMENT)
    kept = OrderItem.objects.filter(order=OuterRef("order"), moved_to=None).exclude(
        enrollment__status=EnrollmentStatus.CANCELLED
    )
    child = Concat("child__first_name", Value(" "), "child__last_name")
    family = OuterRef("order__household")
    cards = Card.objects.paying(OuterRef("order")).order_by()
    return (
        rows.select_related("order")
        .only(*_INSTALLMENT)
        .annotate(
            of=Subquery(parts.annotate(count=Count("pk")).values("count")),
            places=ArraySubquery(kept.values(place=JSONObject(child=child, course="course__title"))),
            left_cents=Subquery(still_open.annotate(sum=Sum("amount_cents")).values("sum")),
            card=Subquery(cards.values(told=_columns(_CARD))),
            guardians=ArraySubquery(readers().filter(household=family).values(told=_columns(_GUARDIAN))),
        )
    )


def next_to_pay(order: Order) -> Installment | None:
    """As the daily jobs read it."""
    parts = with_story(Installment.objects.filter(order=order).open())
    return parts.order_by("due_on", "number").first()


def _columns(names: list[str]) -> JSONObject:
    return JSONObject(**{name: name for name in names})


def _row(model: type[Row], columns: dict[str, Any]) -> Row:
    """Of those columns, which came as JSON; any other is read when it is asked for."""
    fields = [field for field in model._meta.concrete_fields if field.attname in columns]
    values = [field.to_python(columns[field.attname]) for field in fields]
    return model.from_db(DEFAULT_DB_ALIAS, [field.attname for field in fields], values)


def in_chunks(rows: QuerySet[Row]) -> Iterator[list[Row]]:
    """All rows, CHUNK at a time, so that memory stays small; each row is seen once."""
    last_pk = 0
    while chunk := list(rows.filter(pk__gt=last_pk).order_by("pk")[:CHUNK]):
        yield chunk
        last_pk = chunk[-1].pk


@dataclass(frozen=True)
class DueInstallment:
    """An installment, read `with_story`."""

    installment: Any

    def __str__(self) -> str:
        return str(self.installment)

    @property
    def pk(self) -> int:
        return int(self.installment.pk)

    @property
    def row(self) -> Any:
        """What a job's report names."""
        return self.installment

    @cached_property
    def recipients(self) -> list[User]:
        return [_row(User, columns) for columns in self.installment.guardians]

    @property
    def card(self) -> Card | None:
        """The one that would be charged."""
        return _row(Card, self.installment.card) if self.installment.card else None


def why_staff_do_the_talking(fact: DueInstallment) -> str:
    """If staff have stopped the charges, no email is sent automatically."""
    if fact.installment.held_at:
        return "on hold"
    if fact.installment.order.charges_paused_at:
        return "the charges of this order are paused"
    return ""


@dataclass(frozen=True, kw_only=True)
class OverdueInstallment(DueInstallment):
    on: datetime.date
    stage_days: int
    """The last of the days after the due date on which a notice is due."""

    @property
    def days(self) -> int:
        return int((self.on - self.installment.due_on).days)

    @property
    def stage_on(self) -> datetime.date:
        due_on: datetime.date = self.installment.due_on
        return due_on + datetime.timedelta(days=self.stage_days)


@dataclass(frozen=True)
class ExpiringCard:
    """A card that expires before the payments in `missed`, the next one first.

    It comes with the guardians who read the family's emails.
    """

    card: Card
    missed: list[Installment] = field(default_factory=list)
    notice_days: int = 0

    def __str__(self) -> str:
        return str(self.card)

    @property
    def pk(self) -> int:
        return self.card.pk

    @property
    def row(self) -> Installment:
        """The next one that it expires before."""
        return self.missed[0]

    @property
    def due_on(self) -> datetime.date:
        return self.missed[0].due_on

    @property
    def recipients(self) -> list[User]:
        return list(self.card.household.guardians.all())
