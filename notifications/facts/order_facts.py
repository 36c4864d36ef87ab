"""The newest fact of an order for each kind of email that hangs on one, to show what it would say now."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from django.db import models
from django.db.models import QuerySet

from billing.ledger.cards import card_that_pays
from billing.models import (
    CancellationStatus,
    CancellationTransition,
    CardStop,
    ChargeAttemptTransition,
    ClosureLineTransition,
    CreditCause,
    Installment,
    InstallmentTransition,
    RefundStatus,
    RefundTransition,
)
from csf import clock
from enrollments.models import EnrollmentTransition
from notifications.facts.calendar import place_states
from notifications.facts.closing import is_session_cancelled
from notifications.facts.due import DueInstallment, ExpiringCard, OverdueInstallment, with_story
from notifications.facts.starting import ClassStart, starting
from notifications.kinds import EmailKind
from notifications.registry import CONVERTED
from notifications.which import charge_kind, enrollment_kind, installment_kind, order_kind
from orders.models import Order

Row = TypeVar("Row", bound=models.Model)
Find = Callable[[Order], Any]
NO_STAGE = 0
LOOK_AHEAD_DAYS = 366


def fact_of(kind: EmailKind, order: Order) -> Any:
    """None if the order has no such fact, or the kind hangs on no order."""
    find = FINDS.get(kind)
    return find(order) if find else None


def _newest(rows: QuerySet[Row], tells: Callable[[Row], bool]) -> Row | None:
    return next((row for row in rows.order_by("-pk") if tells(row)), None)


def _moved_order(kind: EmailKind) -> Find:
    return lambda order: _newest(order.transitions.all(), lambda fact: order_kind(fact) == kind)


def _moved_enrollment(kind: EmailKind) -> Find:
    def find(order: Order) -> EnrollmentTransition | None:
        rows = EnrollmentTransition.objects.filter(enrollment__order_item__order=order)
        return _newest(rows.select_related("enrollment__course"), lambda fact: enrollment_kind(fact) == kind)

    return find


def _moved_charge(kind: EmailKind) -> Find:
    def find(order: Order) -> ChargeAttemptTransition | None:
        rows = ChargeAttemptTransition.objects.filter(chargeattempt__installment__order=order)
        return _newest(
            rows.select_related("chargeattempt__installment__order"), lambda fact: charge_kind(fact) == kind
        )

    return find


def _card_needed(order: Order) -> InstallmentTransition | None:
    rows = InstallmentTransition.objects.filter(installment__order=order)
    return _newest(rows.select_related("installment__order"), lambda fact: bool(installment_kind(fact)))


def _card_stopped(order: Order) -> CardStop | None:
    stops = CardStop.objects.filter(card__agreements__order=order)
    return stops.order_by("-pk").first()


def _cancellation(order: Order) -> CancellationTransition | None:
    rows = CancellationTransition.objects.filter(cancellation__order=order)
    return rows.filter(to_status=CancellationStatus.SETTLED).order_by("-pk").first()


def _cancelled_session(order: Order) -> ClosureLineTransition | None:
    rows = ClosureLineTransition.objects.filter(closureline__enrollment__order_item__order=order)
    return _newest(
        rows.select_related("closureline__closure", "closureline__enrollment"), is_session_cancelled
    )


def _refund(status: RefundStatus) -> Find:
    def find(order: Order) -> RefundTransition | None:
        rows = RefundTransition.objects.filter(refund__order=order, to_status=status)
        return rows.order_by("-pk").first()

    return find


def _open_part(order: Order) -> Installment | None:
    """The next one to be paid, as the daily jobs read it."""
    parts = with_story(Installment.objects.filter(order=order).open())
    return parts.order_by("due_on", "number").first()


def _due(order: Order) -> DueInstallment | None:
    part = _open_part(order)
    return DueInstallment(part) if part else None


def _overdue(order: Order) -> OverdueInstallment | None:
    """As if it were overdue: at least for a day."""
    part = _open_part(order)
    if part is None:
        return None
    on = max(clock.today(), part.due_on + timedelta(days=1))
    return OverdueInstallment(part, on=on, stage_days=NO_STAGE)


def _card(order: Order) -> ExpiringCard | None:
    """As if the family's card did not live to the next payments."""
    card = card_that_pays(order, on=clock.today())
    missed = list(order.installments.open().select_related("order").order_by("due_on", "number"))
    return ExpiringCard(card, missed) if card and card.exp_month and missed else None


def _class_start(order: Order) -> ClassStart | None:
    """The first of its classes that has yet to begin."""
    today = clock.today()
    places: QuerySet[Any] = starting(after=today, until=today + timedelta(days=LOOK_AHEAD_DAYS))
    place = places.filter(order_item__order=order).order_by("first_on", "pk").first()
    return ClassStart(place, place_states([place.pk])[place.pk]) if place else None


FINDS: Mapping[str, Find] = {
    EmailKind.CARD_STOPPED: _card_stopped,
    EmailKind.CARD_NEEDED: _card_needed,
    EmailKind.AUTHENTICATION_NEEDED: _moved_charge(EmailKind.AUTHENTICATION_NEEDED),
    EmailKind.INSTALLMENT_REMINDER: _due,
    EmailKind.OVERDUE_NOTICE: _overdue,
    EmailKind.CARD_EXPIRING: _card,
    EmailKind.ENROLLMENT_CONFIRMATION: _moved_enrollment(EmailKind.ENROLLMENT_CONFIRMATION),
    EmailKind.CANCELLATION_CONFIRMATION: _cancellation,
    EmailKind.CLASS_STARTS_SOON: _class_start,
    EmailKind.SESSION_CANCELLED: _cancelled_session,
    EmailKind.REFUND_ISSUED: _refund(RefundStatus.SUCCEEDED),
    EmailKind.REFUND_REJECTED: _refund(RefundStatus.REJECTED),
    EmailKind.CREDIT_ADDED: lambda order: (
        order.credits.filter(cause=CreditCause.GRANTED).order_by("-pk").first()
    ),
    EmailKind.TRANSFER_CONFIRMATION: lambda order: order.transfers.order_by("-pk").first(),
    EmailKind.WAITLIST_JOINED: _moved_enrollment(EmailKind.WAITLIST_JOINED),
    EmailKind.WAITLIST_OFFER: _moved_enrollment(EmailKind.WAITLIST_OFFER),
    EmailKind.WAITLIST_LAPSED: _moved_enrollment(EmailKind.WAITLIST_LAPSED),
    EmailKind.WAITLIST_PROMOTED: _moved_order(EmailKind.WAITLIST_PROMOTED),
    EmailKind.WAITLIST_CHARGE_FAILED: _moved_charge(EmailKind.WAITLIST_CHARGE_FAILED),
} | {kind: email.newest_fact for kind, email in CONVERTED.items() if email.hangs_on_orders}
