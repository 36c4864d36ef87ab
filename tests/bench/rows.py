"""Rows in bulk, as the product would have written them one by one."""

import datetime
from collections import Counter
from collections.abc import Sequence

from allauth.account.models import EmailAddress
from django.conf import settings
from django.utils import timezone

from billing.models import Installment, InstallmentStatus, Payment
from csf.dates import local_date
from enrollments.models import (
    Child,
    Course,
    EmergencyContact,
    Enrollment,
    EnrollmentStatus,
    Household,
    Location,
    Program,
    User,
)
from orders.models import Order, OrderItem, OrderStatus, OrderTransition

PROGRAMS = "Swimming Football Gymnastics Dance Art".split()
PLACES = {"Harbour Pool": "3 Quay Road", "Maple Street Gym": "48 Maple Street", "Old Mill": "1 Mill Lane"}
LIST_CENTS, SIBLING_CENTS = 14400, 3600
BATCH = 500


def create_courses(count: int, *, capacity: int = 12) -> list[Course]:
    """Open classes for ages 4 to 12 in several programs and places."""
    programs = [Program.objects.get_or_create(name=name)[0] for name in PROGRAMS]
    places = [Location.objects.get_or_create(name=name, address=at)[0] for name, at in PLACES.items()]
    now, known = timezone.now(), Course.objects.count()
    return Course.objects.bulk_create(
        [
            _course(number, programs[number % 5], places[number % 3], capacity, now)
            for number in range(known, known + count)
        ],
        batch_size=BATCH,
    )


def _course(number: int, program: Program, place: Location, capacity: int, now: datetime.datetime) -> Course:
    first_on = local_date(now) + datetime.timedelta(days=21 + number % 7)
    return Course(
        program=program,
        location=place,
        title=f"{program.name} Club {number}",
        slug=f"class-{number}",
        description="Small groups, patient teachers, and a show for the families at the end of term.",
        age_min=4,
        age_max=12,
        weekday=first_on.weekday(),
        start_time=datetime.time(16, 30),
        end_time=datetime.time(17, 15),
        starts_on=first_on,
        ends_on=first_on + datetime.timedelta(weeks=9),
        price_cents=LIST_CENTS,
        capacity=capacity,
        registration_opens_at=now - datetime.timedelta(days=7),
        registration_closes_at=now + datetime.timedelta(weeks=4),
        is_published=True,
    )


def create_families(count: int) -> list[User]:
    """The guardians of new families, each with two children and a contact for each child."""
    known = Household.objects.count()
    households = Household.objects.bulk_create(
        [Household(name=f"Garcia family {known + number}") for number in range(count)], batch_size=BATCH
    )
    guardians = User.objects.bulk_create(
        [
            User(email=f"parent{row.pk}@example.org", first_name="Pat", last_name="Garcia", household=row)
            for row in households
        ],
        batch_size=BATCH,
    )
    EmailAddress.objects.bulk_create(
        [EmailAddress(user=user, email=user.email, primary=True, verified=True) for user in guardians],
        batch_size=BATCH,
    )
    born_on = timezone.now().date() - datetime.timedelta(days=365 * 8 + 100)
    children = Child.objects.bulk_create(
        [
            Child(household=row, first_name=name, last_name="Garcia", born_on=born_on)
            for row in households
            for name in ("Kim", "Noa")
        ],
        batch_size=BATCH,
    )
    EmergencyContact.objects.bulk_create(
        [
            EmergencyContact(child=child, name="Gran", phone="+1 555 010 0123", relationship="Grandmother")
            for child in children
        ],
        batch_size=BATCH,
    )
    return guardians


def create_orders(guardians: Sequence[User], courses: Sequence[Course]) -> list[OrderTransition]:
    """A placed order for each guardian, of four lines: both children in two classes; returns the transitions
    that owe the confirmations. In bulk no signal is sent, so nothing is owed yet."""
    now = timezone.now()
    orders = Order.objects.bulk_create(
        [
            Order(
                household=guardian.household,
                status=OrderStatus.PLACED,
                currency=settings.CURRENCY,
                total_cents=4 * LIST_CENTS - 2 * SIBLING_CENTS,
                placed_at=now,
                placed_by=guardian,
                held_until=now + datetime.timedelta(minutes=settings.SEAT_HOLD_MINUTES),
            )
            for guardian in guardians
        ],
        batch_size=BATCH,
    )
    children = children_by_household(guardians)
    OrderItem.objects.bulk_create(
        [
            _line(order, child, courses[(2 * number + place) % len(courses)], is_sibling=index == 1)
            for number, order in enumerate(orders)
            for index, child in enumerate(children[order.household_id])
            for place in range(2)
        ],
        batch_size=BATCH,
    )
    Installment.objects.bulk_create(
        [
            Installment(order=order, number=1, due_on=local_date(now), amount_cents=order.total_cents)
            for order in orders
        ],
        batch_size=BATCH,
    )
    return OrderTransition.objects.bulk_create(
        [
            OrderTransition(
                order=order, from_status=OrderStatus.DRAFT, to_status=OrderStatus.PLACED, by=order.placed_by
            )
            for order in orders
        ],
        batch_size=BATCH,
    )


def pay_orders(orders: Sequence[Order]) -> None:
    """As if each of these was paid in full: with its payment, and a seat for each line."""
    now = timezone.now()
    Order.objects.filter(pk__in=[order.pk for order in orders]).update(status=OrderStatus.CONFIRMED)
    parts = Installment.objects.filter(order__in=orders)
    parts.update(status=InstallmentStatus.PAID)
    Payment.objects.bulk_create(
        [
            Payment(
                order_id=part.order_id,
                installment=part,
                amount_cents=part.amount_cents,
                currency=settings.CURRENCY,
                stripe_payment_intent_id=f"pi_bench{part.pk}",
                received_at=now,
            )
            for part in parts
        ],
        batch_size=BATCH,
    )
    lines, taken = list(OrderItem.objects.filter(order__in=orders)), Counter[int]()
    for line in lines:
        taken[line.course_id] += 1
        line.enrollment = Enrollment(
            child_id=line.child_id,
            course_id=line.course_id,
            status=EnrollmentStatus.ACTIVE,
            seat_number=taken[line.course_id],
        )
    Enrollment.objects.bulk_create([line.enrollment for line in lines if line.enrollment], batch_size=BATCH)
    OrderItem.objects.bulk_update(lines, ["enrollment"], batch_size=BATCH)


def children_by_household(guardians: Sequence[User]) -> dict[int, list[Child]]:
    found: dict[int, list[Child]] = {}
    wanted = {guardian.household_id for guardian in guardians}
    for child in Child.objects.filter(household__in=wanted).order_by("pk"):
        found.setdefault(child.household_id, []).append(child)
    return found


def _line(order: Order, child: Child, course: Course, *, is_sibling: bool) -> OrderItem:
    off_cents = SIBLING_CENTS if is_sibling else 0
    return OrderItem(
        order=order,
        child=child,
        course=course,
        list_cents=LIST_CENTS,
        sibling_cents=off_cents,
        net_cents=LIST_CENTS - off_cents,
        explanation=[{"label": "Sibling discount, 2nd child (25%)", "cents": off_cents}] if off_cents else [],
    )


def fill_seats(courses: Sequence[Course], children: Sequence[Child]) -> None:
    """A child on the first seats of each class, the more the later the class stands in the list."""
    Enrollment.objects.bulk_create(
        [
            Enrollment(
                child=children[seat], course=course, status=EnrollmentStatus.ACTIVE, seat_number=seat + 1
            )
            for number, course in enumerate(courses)
            for seat in range(number % min(len(children), course.capacity))
        ],
        batch_size=BATCH,
    )
