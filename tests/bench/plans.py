"""Families in bulk who pay in parts: the first part is paid, the second is due."""

import datetime
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.utils import timezone

from billing.models import (
    Card,
    CardAgreement,
    Consent,
    Installment,
    InstallmentStatus,
    PaymentPlan,
    StripeCustomer,
)
from enrollments.models import Child, Course, Enrollment, EnrollmentStatus, Household, User
from orders.models import Order, OrderItem, OrderStatus
from tests.bench import rows

PARTS, CAPACITY = 3, 12
PART_CENTS = 2 * rows.LIST_CENTS // PARTS
CHUNK = 1000  # families made at once, so that memory stays small
# Each after those that it refers to.
COPIED: list[type[models.Model]] = [
    Household,
    User,
    Child,
    Course,
    Enrollment,
    Order,
    OrderItem,
    Consent,
    Installment,
    StripeCustomer,
    Card,
    CardAgreement,
]
UNIQUE_TEXTS = {"email", "slug", "stripe_id", "stripe_payment_method_id"}
APART = 10_000_000  # between the ids of two copies


def create_plans(count: int, *, due_on: datetime.date) -> None:
    """That many confirmed orders of two classes, one family each, whose second of three parts is due then."""
    for start in range(0, count, CHUNK):
        families = rows.create_families(min(CHUNK, count - start))
        courses = rows.create_courses(2 * (len(families) // CAPACITY + 1), capacity=CAPACITY)
        create_orders(families, courses, due_on=due_on)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # autovacuum would have, long before


def multiply(times: int) -> None:
    """As many times what `create_plans` made, by the database alone."""
    with connection.cursor() as cursor:
        for model in COPIED:
            fields = {f'"{field.column}"': _copied(field) for field in model._meta.concrete_fields}
            table, columns, values = model._meta.db_table, ", ".join(fields), ", ".join(fields.values())
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} "
                f"FROM {table} CROSS JOIN generate_series(1, %s) AS copy",
                [times - 1],
            )
        cursor.execute("ANALYZE")


def _copied(field: Any) -> str:
    column = f'"{field.column}"'
    if field.primary_key or field.related_model in COPIED:
        return f"{column} + copy * {APART}"
    if isinstance(field, models.UUIDField):
        return "gen_random_uuid()"
    if field.model is Order and field.name == "number":
        return f"lpad(to_hex(id + copy * {APART}), 8, '0')"
    return f"copy || '-' || {column}" if field.name in UNIQUE_TEXTS else column


def create_orders(
    guardians: Sequence[User], courses: Sequence[Course], *, due_on: datetime.date
) -> list[Order]:
    """One for each guardian, whose first child takes two of the classes, two for each CAPACITY guardians."""
    plan, _ = PaymentPlan.objects.get_or_create(name="Three parts", parts=PARTS)
    orders = Order.objects.bulk_create([_order(guardian) for guardian in guardians])
    children = rows.children_by_household(guardians)
    lines = [
        (order, children[order.household_id][0], courses[number // CAPACITY * 2 + place], number % CAPACITY)
        for number, order in enumerate(orders)
        for place in range(2)
    ]
    seats = Enrollment.objects.bulk_create(
        [
            Enrollment(child=child, course=course, status=EnrollmentStatus.ACTIVE, seat_number=seat + 1)
            for _, child, course, seat in lines
        ]
    )
    OrderItem.objects.bulk_create(
        [
            OrderItem(
                order=order,
                child=child,
                course=course,
                enrollment=seat,
                list_cents=rows.LIST_CENTS,
                net_cents=rows.LIST_CENTS,
            )
            for (order, child, course, _), seat in zip(lines, seats, strict=True)
        ]
    )
    consents = Consent.objects.bulk_create([_consent(order, plan) for order in orders])
    Installment.objects.bulk_create([part for given in consents for part in _parts(given, due_on)])
    StripeCustomer.objects.bulk_create(
        [StripeCustomer(household=order.household, stripe_id=f"cus_bench{order.pk}") for order in orders]
    )
    cards = Card.objects.bulk_create([_card(order) for order in orders])
    CardAgreement.objects.bulk_create(
        [_agreement(order, card) for order, card in zip(orders, cards, strict=True)]
    )
    return orders


def _order(guardian: User) -> Order:
    return Order(
        household=guardian.household,
        status=OrderStatus.CONFIRMED,
        currency=settings.CURRENCY,
        total_cents=PARTS * PART_CENTS,
        placed_at=timezone.now(),
        placed_by=guardian,
    )


def _parts(consent: Consent, due_on: datetime.date) -> list[Installment]:
    month = datetime.timedelta(days=30)
    paid, scheduled = InstallmentStatus.PAID, InstallmentStatus.SCHEDULED
    return [
        Installment(
            order=consent.order,
            number=number,
            due_on=on,
            amount_cents=PART_CENTS,
            status=status,
            consent=consent,
        )
        for number, (on, status) in enumerate(
            [(due_on - month, paid), (due_on, scheduled), (due_on + month, scheduled)], start=1
        )
    ]


def _consent(order: Order, plan: PaymentPlan) -> Consent:
    assert order.placed_by is not None
    return Consent(
        order=order,
        plan=plan,
        given_by=order.placed_by,
        text_version="bench",
        text="I agree to the later charges.",
        schedule=[],
        given_at=timezone.now(),
    )


def _agreement(order: Order, card: Card) -> CardAgreement:
    assert order.placed_by is not None
    assert order.placed_at is not None
    return CardAgreement(order=order, card=card, agreed_by=order.placed_by, agreed_at=order.placed_at)


def _card(order: Order) -> Card:
    return Card(
        household=order.household,
        stripe_payment_method_id=f"pm_bench{order.pk}",
        fingerprint=f"print{order.pk}",
        brand="visa",
        last4="4242",
        exp_month=12,
        exp_year=timezone.now().year + 3,
    )
