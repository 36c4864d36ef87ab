"""A class with one seat that is taken, and families who wait for it over the pages of the site."""

from datetime import timedelta

from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.card_page import card_page
from billing.installments.attempts import run_attempt
from billing.models import ChargeAttempt
from billing.tasks import sweep_waitlist
from enrollments.models import Course, Enrollment
from orders.models import Order
from tests.factories import create_course, create_household, create_order
from tests.pages import parent_of
from tests.shop import VISA, hear


def full_class(**fields):
    """With its one seat enrolled, which cost nothing; `free` gives it up."""
    course = create_course(capacity=1, **fields | {"price_cents": 0})
    create_order(courses=[course])
    Course.objects.filter(pk=course.pk).update(price_cents=fields.get("price_cents", 14400))
    return Course.objects.get(pk=course.pk)


def family(name="Lopez"):
    return create_household(name=name)


def ask_to_join(household, course, tier="regular", **typed):
    """What the page answers."""
    sent = {"child": household.children.get().public_id, "tier": tier, **typed}
    return parent_of(household).post(reverse("join_waitlist", args=[course.slug]), sent)


def join(household, course, tier="regular"):
    """Waits now; with the priority tier the price is agreed to."""
    at_most = {"at_most": course.price_cents} if tier == "priority" else {}
    answer = ask_to_join(household, course, tier, **at_most)
    assert answer.status_code == 302, answer.text
    return place_of(household, course)


def place_of(household, course):
    return Enrollment.objects.filter(child__household=household, course=course).latest("pk")


def free(course, by=None):
    """The enrolled child gives its seat up."""
    enrolled = course.enrollments.get(status="active")
    cancel_enrollment(enrollment=enrolled, by=by, reason="moved away", now=timezone.now())


def accept(household, place, **typed):
    page = reverse("accept_offer", args=[place.public_id])
    return parent_of(household).post(page, {"plan": "", **typed})


def save_a_card(shop, household, number=VISA):
    """On Stripe's page, which reports it by webhook."""
    page = card_page(household=household, by=household.guardians.get(), charge_now=False)
    shop.pay(page, number)
    hear(shop, "setup_intent.succeeded")


def minute():
    """What the workers do each minute."""
    sweep_waitlist()
    for attempt in ChargeAttempt.objects.on_saved_cards().waiting():
        run_attempt(attempt.pk)


def end_offer(place):
    Enrollment.objects.filter(pk=place.pk).update(expires_at=timezone.now() - timedelta(seconds=1))


def order_of(place):
    return Order.objects.get(items__enrollment=place)
