"""A child that is moved to another class: its order, the move, and what came of it."""

from datetime import timedelta

from django.utils import timezone

from billing.changes.transfer import transfer
from billing.checkout.place_order import place_order
from billing.models import Credit, PaymentPlan, Transfer
from csf.dates import local_date
from enrollments.models import Course, CourseSession, Enrollment
from notifications.models import EmailMessage
from tests.factories import create_cart, create_child, create_course, create_household, create_staff
from tests.shop import hear, open_page

AGREED = "On the phone on May 3, with the mother"


def enrolled(shop, *, parts=1, price_cents=12000, **course):
    """A child in a class of ten sessions, paid in full or by the first part of a plan."""
    plan = PaymentPlan.objects.create(name=f"{parts} parts", parts=parts) if parts > 1 else None
    order = create_cart(courses=[create_course(sessions=10, price_cents=price_cents, **course)])
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    return Enrollment.objects.get(order_item__order=order)


def to(price_cents, **course):
    return create_course(sessions=10, price_cents=price_cents, **course)


def move(enrollment, course, **options):
    options.setdefault("by", create_staff())
    return transfer(
        enrollment=enrollment, course=course, reason="asked for it", now=timezone.now(), **options
    )


def parts_of(order):
    return [(part.amount_cents, part.status) for part in order.installments.order_by("number")]


def figures(done):
    return done.difference_cents, done.stopped_cents, done.credit_cents


def told():
    return EmailMessage.objects.get(kind="transfer_confirmation").context


def begin(course, sessions=4):
    """So many of its sessions are over."""
    for number, session in enumerate(course.sessions.order_by("held_on")):
        day = local_date(timezone.now()) + timedelta(weeks=number - sessions, days=1)
        CourseSession.objects.filter(pk=session.pk).update(held_on=day)
    Course.objects.filter(pk=course.pk).update(starts_on=local_date(timezone.now()) - timedelta(weeks=4))
    course.refresh_from_db()


def rows():
    return (
        list(Enrollment.objects.order_by("pk").values_list("pk", "status")),
        Transfer.objects.count(),
        Credit.objects.count(),
    )


def fill_up(course):
    for number in range(1, course.capacity + 1):
        child = create_child(household=create_household(children=0))
        Enrollment.objects.create(child=child, course=course, status="active", seat_number=number)
