"""Rows for tests, with only what the test cares about given by name."""

import datetime
import itertools
from collections.abc import Sequence
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.db.models import F
from django.utils import timezone
from django_q.models import Schedule

from billing.checkout.place_order import place_order
from billing.models import Card, CardAgreement, Consent, PaymentPlan
from csf.dates import local_date
from csf.jobs.declared import jobs
from csf.models import Cluster
from enrollments.models import Child, Course, EmergencyContact, Household, Location, Program, User
from orders.cart import add_to_cart
from orders.models import Order, cart_of

_numbers = itertools.count(100_001)  # of one length: they sort as they count, and none begins another


def create_cluster(name: str = "first", *, seen: int = 0, canary: int = 0, **fields: Any) -> Cluster:
    """A cluster of workers on another host, seen so many seconds ago and its canary heard."""
    ages = {
        field: timezone.now() - datetime.timedelta(seconds=age)
        for field, age in (("seen_at", seen), ("canary_at", canary), ("started_at", 3600))
    }
    return Cluster.objects.create(
        **{"name": name, "queue": "csf", "host": "elsewhere", "pid": 1} | ages | fields
    )


def schedule_all_jobs() -> None:
    """As sync_schedules does, without its care."""
    later = timezone.now() + datetime.timedelta(days=1)
    rows = [
        Schedule(
            name=f"csf:{name}",
            func=job.task,
            cron=job.cron,
            schedule_type=Schedule.CRON,
            next_run=later,
            repeats=-1,
        )
        for name, job in jobs().items()
    ]
    Schedule.objects.bulk_create(rows)


def create_household(
    *, children: int = 1, ages: Sequence[int] | None = None, name: str = "Garcia"
) -> Household:
    """A family with one guardian and children of 8 years (or the ages given)."""
    household = Household.objects.create(name=f"{name} family")
    create_guardian(household=household, last_name=name)
    for age in ages or [8] * children:
        create_child(household=household, age=age, last_name=name)
    return household


def create_guardian(*, household: Household, **fields: Any) -> User:
    fields.setdefault("email", f"guardian{next(_numbers)}@example.org")
    user = User.objects.create(household=household, **{"first_name": "Pat", "last_name": "Garcia"} | fields)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def create_staff(**fields: Any) -> User:
    user = User.objects.create(
        **{"email": f"staff{next(_numbers)}@example.org", "is_staff": True, "is_superuser": True} | fields
    )
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def create_totp(*, user: User | None = None, secret: str = "") -> Authenticator:
    """The second step of a staff member."""
    return TOTP.activate(user or create_staff(), secret or generate_totp_secret()).instance


def create_child(*, household: Household, age: int = 8, contacts: int = 1, **fields: Any) -> Child:
    born_on = timezone.now().date() - datetime.timedelta(days=365 * age + 100)
    child = Child.objects.create(
        household=household,
        **{"first_name": f"Kim{next(_numbers)}", "last_name": "Garcia", "born_on": born_on} | fields,
    )
    for _ in range(contacts):
        create_contact(child=child)
    return child


def create_contact(*, child: Child, **fields: Any) -> EmergencyContact:
    defaults = {"name": "Gran Garcia", "phone": "+1 555 010 0123", "relationship": "Grandmother"}
    return EmergencyContact.objects.create(child=child, **defaults | fields)


def create_course(*, sessions: int = 0, **fields: Any) -> Course:
    """An open class for ages 6 to 12 that starts in three weeks."""
    number = next(_numbers)
    now = timezone.now()
    first_on = local_date(now) + datetime.timedelta(weeks=3)
    pool, _ = Location.objects.get_or_create(name="Harbour Pool", defaults={"address": "3 Quay Road"})
    defaults = {
        "program": Program.objects.get_or_create(name="Swimming")[0],
        "location": pool,
        "title": f"Dolphin Swim {number}",
        "slug": f"dolphin-swim-{number}",
        "age_min": 6,
        "age_max": 12,
        "weekday": first_on.weekday(),
        "start_time": datetime.time(16, 30),
        "end_time": datetime.time(17, 15),
        "starts_on": first_on,
        "ends_on": first_on + datetime.timedelta(weeks=max(sessions - 1, 9)),
        "price_cents": 14400,
        "capacity": 8,
        "registration_opens_at": now - datetime.timedelta(days=7),
        "registration_closes_at": now + datetime.timedelta(weeks=4),
        "is_published": True,
    }
    course = Course.objects.create(**defaults | fields)
    if sessions:
        course.plan_sessions()
    return course


def create_cart(*, household: Household | None = None, courses: Sequence[Course] | None = None) -> Order:
    """A cart with the household's first child in each class."""
    household = household or create_household()
    child = household.children.first()
    for course in courses or [create_course()]:
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    return cart_of(household)


def create_order(*, household: Household | None = None, courses: Sequence[Course] | None = None) -> Order:
    """A placed order, its seats held, waiting for its payment."""
    order = create_cart(household=household, courses=courses)
    place_order(order=order, by=order.household.lead, now=timezone.now())
    return order


def create_consent(order: Order) -> Consent:
    """To charges of this order's later parts, as its checkout would have written it."""
    plan, _ = PaymentPlan.objects.get_or_create(name="Three parts", defaults={"parts": 3})
    assert order.placed_by
    assert order.placed_at
    return Consent.objects.create(
        order=order, plan=plan, given_by=order.placed_by, text="I agree", given_at=order.placed_at
    )


def shift(course: Course, days: int) -> Course:
    """Move a class and its sessions by so many days, with nobody told; returns the class as it is then."""
    by = datetime.timedelta(days=days)
    course.sessions.update(held_on=F("held_on") + by)
    Course.objects.filter(pk=course.pk).update(starts_on=F("starts_on") + by, ends_on=F("ends_on") + by)
    return Course.objects.get(pk=course.pk)


def ended(course: Course, *, days: int = 1) -> Course:
    """The class, with its last session so many days ago."""
    today = local_date(timezone.now())
    last = course.sessions.filter(cancelled_at=None).order_by("held_on").last()
    return shift(course, (today - (last.held_on if last else course.ends_on)).days - days)


def create_card(order: Order, **fields: Any) -> Card:
    """A saved card that pays this order."""
    defaults = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2040}
    card = Card.objects.create(
        household=order.household, **{"stripe_payment_method_id": f"pm_{order.pk}"} | defaults | fields
    )
    assert order.placed_by
    assert order.placed_at
    CardAgreement.objects.create(order=order, card=card, agreed_by=order.placed_by, agreed_at=order.placed_at)
    return card
