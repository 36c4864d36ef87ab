"""What staff may do with one open installment, each with a reason that stays in its history.

Nothing is done while a charge is in progress or its outcome is not known. An action that ends an installment
first voids its Stripe invoice and confirms that it is void; if it turns out to be paid, the money is recorded
and the action refused.
"""

import datetime
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.conf import settings
from django.db import transaction

from billing.installments.attempts import ask_again
from billing.installments.dunning import start_attempt
from billing.installments.invoices import closed_invoice, has_open_invoice
from billing.ledger.cards import card_of
from billing.ledger.locks import lock_installment
from billing.models import (
    ChargeAttempt,
    ChargeKind,
    Installment,
    InstallmentNote,
    InstallmentStatus,
    Payment,
    PaymentMethod,
)
from billing.models.charges import OPEN_CHARGE
from billing.models.installments import CHARGEABLE, OWN_FAMILY
from billing.stripe import gateway
from csf import clock
from csf.jobs.queue import enqueue
from csf.money import money_text
from csf.refusal import NotPossible
from csf.state import Stale
from csf.templatetags.csf_format import day
from enrollments.models import User
from orders.models import OrderStatus


def retry_now(*, installment: Installment, by: User, reason: str, on: datetime.date) -> ChargeAttempt:
    """Charge the family's saved card today, regardless of the dunning days."""
    card = card_of(installment.order)
    if card is None or card.why_not_charged(on):
        raise NotPossible("There is no saved card that can be charged for this order.")
    with _unlocked_by_charges(installment, by, f"charged now: {_given(reason)}") as locked:
        if locked.order.status != OrderStatus.CONFIRMED:
            raise NotPossible("The order is no longer active.")
        if locked.held_at:
            raise NotPossible("It is on hold. Release it first.")
        if locked.consent_id is None:
            raise NotPossible("The family has not agreed to this charge, so it has to pay it itself.")
        if locked.status == InstallmentStatus.SCHEDULED and on < locked.due_on:
            raise NotPossible(_too_early(locked.due_on))
        attempt = start_attempt(locked, card=card, kind=ChargeKind.STAFF, on=on)
        enqueue("billing.tasks.charge")
    return attempt


def hold(*, installment: Installment, by: User, reason: str) -> None:
    """Leave it out of charges and reminders until it is released."""
    with _unlocked_by_charges(installment, by, f"held: {_given(reason)}") as locked:
        if locked.held_at:
            raise NotPossible("It is already on hold.")
        Installment.objects.filter(pk=locked.pk).update(held_at=clock.now())


def unhold(*, installment: Installment, by: User, reason: str) -> None:
    with _unlocked_by_charges(installment, by, f"no longer held: {_given(reason)}") as locked:
        if not locked.held_at:
            raise NotPossible("It is not on hold.")
        Installment.objects.filter(pk=locked.pk).update(held_at=None)


def move_date(
    *, installment: Installment, by: User, reason: str, to: datetime.date, on: datetime.date
) -> None:
    """Agree on another due date, no earlier than the one that the family agreed to. Tries are counted from
    the start again. `on` is today."""
    if to < on:
        raise NotPossible("The new date is in the past.")
    note = f"moved from {day(installment.due_on)} to {day(to)}: {_given(reason)}"
    with _unlocked_by_charges(installment, by, note) as locked:
        if (locked.status, locked.due_on) == (InstallmentStatus.SCHEDULED, to):
            raise NotPossible(f"It is already due on {day(to)}.")
        if locked.status == InstallmentStatus.SCHEDULED and locked.consent and to < locked.agreed_on:
            raise NotPossible(_too_early(locked.agreed_on))
        Installment.objects.filter(pk=locked.pk).update(due_on=to)
        if locked.status == InstallmentStatus.RETRY_WAIT:
            locked.transition_to(InstallmentStatus.EXHAUSTED, by=by, reason=note[:300])
        if locked.status != InstallmentStatus.SCHEDULED:
            locked.transition_to(InstallmentStatus.SCHEDULED, by=by, reason=note[:300])


def split(
    *, installment: Installment, by: User, reason: str, first_cents: int, second_on: datetime.date
) -> tuple[Installment, Installment]:
    """Two new installments in the place of one: the first keeps the date, the second is due on its own.

    The old one is cancelled, because its invoice at Stripe is for the whole amount.
    """
    second_cents = installment.amount_cents - first_cents
    if min(first_cents, second_cents) < settings.MINIMUM_CHARGE_CENTS:
        least = money_text(settings.MINIMUM_CHARGE_CENTS)
        raise NotPossible(f"Each part of {money_text(installment.amount_cents)} must be at least {least}.")
    if second_on <= installment.due_on:
        raise NotPossible("The second part must be due after the first.")
    note = f"split, {money_text(second_cents)} of it due on {day(second_on)}: {_given(reason)}"
    with _ended(installment, by, note) as (locked, held_at):
        locked.transition_to(InstallmentStatus.CANCELLED, by=by, reason=note[:300])
        parts = [(locked.due_on, first_cents), (second_on, second_cents)]
        first, second = _in_parts(locked, parts, held_at=held_at)
    return first, second


def waive(*, installment: Installment, by: User, reason: str) -> None:
    """The school waives it."""
    _finish(installment, by, f"waived: {_given(reason)}", InstallmentStatus.WAIVED)


def cancel(*, installment: Installment, by: User, reason: str) -> None:
    """It is no longer owed."""
    _finish(installment, by, f"cancelled: {_given(reason)}", InstallmentStatus.CANCELLED)


def record_offline(
    *,
    installment: Installment,
    by: User,
    reason: str,
    method: PaymentMethod,
    received_at: datetime.datetime,
    cents: int | None = None,
    check_number: str = "",
) -> Payment:
    """Money that came as cash or by check: all of the installment, or `cents` of it; the rest stays due."""
    cents = installment.amount_cents if cents is None else cents
    rest_cents = installment.amount_cents - cents
    if cents <= 0 or rest_cents < 0:
        raise NotPossible(f"Only {money_text(installment.amount_cents)} is open.")
    if 0 < rest_cents < settings.MINIMUM_CHARGE_CENTS:
        raise NotPossible(f"The rest, {money_text(rest_cents)}, would be too little to charge.")
    how = f"{method.label} {check_number}".strip()
    part = f"{money_text(cents)} " if rest_cents else ""
    note = f"{part}paid by {how}: {_given(reason)}"
    with _ended(installment, by, note) as (locked, held_at):
        if rest_cents:
            locked.transition_to(InstallmentStatus.CANCELLED, by=by, reason=note[:300])
            parts = [(locked.due_on, cents), (locked.due_on, rest_cents)]
            locked, _ = _in_parts(locked, parts, held_at=held_at)
        locked.transition_to(InstallmentStatus.PAID, by=by, reason=note[:300])
        return Payment.objects.create(
            order=locked.order,
            installment=locked,
            amount_cents=cents,
            currency=locked.order.currency,
            method=method,
            received_at=received_at,
            check_number=check_number,
        )


def _in_parts(
    installment: Installment, parts: Sequence[tuple[datetime.date, int]], *, held_at: datetime.datetime | None
) -> list[Installment]:
    """New installments in the place of one that is cancelled, because its invoice at Stripe is for the whole
    amount. They keep its agreement and its hold."""
    numbers = installment.order.installments.order_by("-number").values_list("number", flat=True)
    return [
        Installment.objects.create(
            order=installment.order,
            number=number,
            due_on=due_on,
            amount_cents=cents,
            consent=installment.consent,
            held_at=held_at,
        )
        for number, (due_on, cents) in enumerate(parts, start=numbers[0] + 1)
    ]


def _finish(installment: Installment, by: User, note: str, to: InstallmentStatus) -> None:
    with _ended(installment, by, note) as (locked, _):
        locked.transition_to(to, by=by, reason=note[:300])


def _too_early(agreed_on: datetime.date) -> str:
    return (
        f"The family has agreed to a charge on {day(agreed_on)}, not before. It can pay earlier itself, in "
        "its account."
    )


def _given(reason: str) -> str:
    if not reason.strip():
        raise NotPossible("Give a reason: it stays in the history.")
    return reason.strip()


@contextmanager
def _unlocked_by_charges(installment: Installment, by: User, note: str = "") -> Iterator[Installment]:
    """The installment under its locks, open and with no charge in progress; `note` says what is done to it.

    Staff cannot act on installments of their own family.
    """
    if by.household_id == installment.order.household_id:
        raise NotPossible(OWN_FAMILY)
    ask_again(installment.order)
    with transaction.atomic():
        locked = lock_installment(installment)
        if locked.status not in CHARGEABLE:
            raise NotPossible(f"It is {locked.get_status_display()}.")
        if locked.order.status == OrderStatus.PLACED:
            raise NotPossible("The order still waits for its first payment.")
        if locked.attempts.filter(status__in=OPEN_CHARGE).exists():
            raise NotPossible("A charge is in progress, or its outcome is not known. Please wait for it.")
        try:
            yield locked
        except Stale as lost:
            raise NotPossible("Someone else changed it at the same moment.") from lost
        if note:
            InstallmentNote.objects.create(installment=locked, by=by, text=note[:500])


@contextmanager
def _ended(
    installment: Installment, by: User, note: str
) -> Iterator[tuple[Installment, datetime.datetime | None]]:
    """The same, for what ends an installment, with the time since when staff held it: no charge can begin,
    and its invoice is confirmed void, before it does."""
    with _unlocked_by_charges(installment, by) as locked:
        was_held_at = locked.held_at
        Installment.objects.filter(pk=locked.pk).update(held_at=clock.now())
    try:
        _void(locked)
        voided_id = locked.stripe_invoice_id
        with _unlocked_by_charges(installment, by, note) as locked:
            if locked.stripe_invoice_id != voided_id:
                raise NotPossible("The family has just opened the payment page. Please try again.")
            yield locked, was_held_at
    finally:
        Installment.objects.filter(pk=installment.pk).update(held_at=was_held_at)


def _void(installment: Installment) -> None:
    """See that its Stripe invoice cannot be paid any more. Money that came in the meantime is recorded."""
    try:
        if not has_open_invoice(installment):
            return
        invoice = closed_invoice(installment)
    except (gateway.StripeRefused, gateway.OutcomeUnknown) as error:
        raise NotPossible("Stripe did not answer, so nothing was changed. Please try again.") from error
    if invoice["status"] == "paid" and not Installment.objects.open().filter(pk=installment.pk).exists():
        raise NotPossible("It was just paid at Stripe, and the payment is recorded.")
