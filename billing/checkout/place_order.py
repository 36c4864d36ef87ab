"""Placing an order: seats held, prices frozen, and its payments written."""

import datetime
from collections.abc import Collection, Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from billing.checkout.siblings import paid_children
from billing.ledger.consent import record_consent, record_waitlist_consent
from billing.ledger.credits import spend
from billing.models import (
    Installment,
    PaymentPlan,
    WaitlistConsent,
)
from billing.plan_schedule import Part
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from enrollments.models import Course, User
from orders.checkout import hold_lines
from orders.models import Order, OrderItem
from orders.refusal import OrderRefused


@again_after_deadlock
@transaction.atomic
def place_order(
    *,
    order: Order,
    by: User,
    now: datetime.datetime,
    expected_cents: int | None = None,
    plan: PaymentPlan | None = None,
    use_credit: bool = False,
    expected_due_cents: int | None = None,
    address: str | None = None,
    held_until: datetime.datetime | None = None,
    waitlist_consent: WaitlistConsent | None = None,
    other_orders: Sequence[Order] = (),
) -> None:
    """Turn the cart into an order: hold its seats, freeze its prices, write what is due and when.

    `expected_cents` is the total that the parent agreed to. With `use_credit` the family's credit pays as
    much of it as it can; what is left to pay must be `expected_due_cents`. With a plan, placing is the
    consent to its later charges, given from `address`, and its card is to pay the family's `other_orders` as
    well. `waitlist_consent` is one that was given earlier. All or nothing: raises OrderRefused in words for
    the parent. An order that costs nothing is confirmed at once. The seats are held for SEAT_HOLD_MINUTES, or
    until `held_until`.
    """
    held_until = held_until or now + timedelta(minutes=settings.SEAT_HOLD_MINUTES)
    today = local_date(now)
    total_cents = hold_lines(
        order=order,
        now=now,
        held_until=held_until,
        paid_children=paid_children(order.household_id, on=today),
        expected_cents=expected_cents,
    )
    due_cents = total_cents
    if use_credit:
        due_cents -= spend(order=order, total_cents=total_cents, on=today)
    if expected_due_cents not in {None, due_cents}:
        raise OrderRefused("Your credit has changed since you saw it. Please check the new amount.")
    if plan is not None and due_cents:
        _write_plan(
            plan,
            order=order,
            due_cents=due_cents,
            by=by,
            at=now,
            address=address,
            other_orders=other_orders,
        )
    elif due_cents:
        Installment.objects.create(
            order=order,
            number=1,
            due_on=today,
            amount_cents=due_cents,
            consent=record_waitlist_consent(order=order, given=waitlist_consent)
            if waitlist_consent
            else None,
        )
    order.place(by=by, at=now, held_until=held_until, total_cents=total_cents)
    if not due_cents:
        order.confirm(reason="nothing to pay" if not total_cents else "paid with credit")


def _write_plan(
    plan: PaymentPlan,
    *,
    order: Order,
    due_cents: int,
    by: User,
    at: datetime.datetime,
    address: str | None,
    other_orders: Sequence[Order],
) -> None:
    """The consent, and the parts under it; the first one is paid by the parent, on Stripe's page."""
    parts = _parts_of(plan, order=order, total_cents=due_cents, on=local_date(at))
    consent = record_consent(
        order=order, plan=plan, parts=parts, by=by, at=at, address=address, other_orders=other_orders
    )
    Installment.objects.bulk_create(
        Installment(
            order=order,
            number=part.number,
            due_on=part.due_on,
            amount_cents=part.amount_cents,
            consent=consent if part.number > 1 else None,
        )
        for part in parts
    )


def plans_for(
    items: Sequence[OrderItem], *, total_cents: int, on: datetime.date
) -> list[tuple[PaymentPlan, list[Part]]]:
    """The plans that these lines may be paid by, each with its dates and amounts."""
    return plans_of({item.course for item in items}, total_cents=total_cents, on=on)


def plans_of(
    courses: Collection[Course], *, total_cents: int, on: datetime.date
) -> list[tuple[PaymentPlan, list[Part]]]:
    """The plans by which an order for these classes may be paid."""
    offered = PaymentPlan.objects.offered_for({course.pk for course in courses})
    ends_on = min((course.ends_on for course in courses), default=on)
    schedules = [(plan, plan.schedule(total_cents, first_on=on, ends_on=ends_on)) for plan in offered]
    return [(plan, parts) for plan, parts in schedules if parts]


def _parts_of(plan: PaymentPlan, *, order: Order, total_cents: int, on: datetime.date) -> list[Part]:
    items = list(order.items.select_related("course"))
    for offered, parts in plans_for(items, total_cents=total_cents, on=on):
        if offered == plan:
            return parts
    raise OrderRefused("These installments are no longer available for this order. Please choose again.")
