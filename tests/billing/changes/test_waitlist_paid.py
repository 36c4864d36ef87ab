"""From the waitlist to a paid place, as families and Stripe see it."""

from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.checkout.holds import expire_holds
from billing.models import Card, ChargeAttempt, PaymentPlan, WaitlistConsent
from billing.tasks import sweep_waitlist
from csf.models import StaffTask
from csf.proofs.invariants import violations
from enrollments.models import Course, Enrollment, User
from notifications.models import EmailMessage
from orders.cart import add_to_cart
from orders.models import Order, cart_of
from tests.factories import create_course, create_guardian
from tests.pages import parent_of, words
from tests.shop import VISA, hear
from tests.waitlist import (
    accept,
    ask_to_join,
    end_offer,
    family,
    free,
    full_class,
    join,
    minute,
    order_of,
    place_of,
    save_a_card,
)

SAVED_BUT_DECLINES = "4000000000000341"


def mails(household):
    to = household.guardians.get().email
    return Counter(EmailMessage.objects.filter(to=to).values_list("kind", flat=True))


def outcome(place):
    """The seat, its order and its money, and the emails of the family."""
    place.refresh_from_db()
    order = order_of(place)
    attempts = ChargeAttempt.objects.filter(installment__order=order)
    return {
        "seat": (place.status, place.seat_number),
        "order": order.status,
        "installments": [part.status for part in order.installments.all()],
        "attempts": [(attempt.kind, attempt.status) for attempt in attempts],
        "payments": [(row.amount_cents, row.installment_id is not None) for row in order.payments.all()],
        "emails": mails(place.child.household),
    }


PROMOTED = {
    "seat": ("active", 1),
    "order": "confirmed",
    "installments": ["paid"],
    "attempts": [("auto", "succeeded")],
    "payments": [(14400, True)],
    "emails": {
        "waitlist_joined": 1,
        "waitlist_promoted": 1,
        "payment_success": 1,
        "enrollment_confirmation": 1,
    },
}
CHARGE_FAILED = {
    "seat": ("held", 1),
    "order": "placed",
    "installments": ["scheduled"],
    "payments": [],
    "emails": {"waitlist_joined": 1, "waitlist_charge_failed": 1},
}


# --- The regular tier: asked by email -----------------------------------------------------------------------


def test_a_regular_offer_is_accepted_and_paid_apart_from_the_cart(shop):
    course, household = full_class(), family()
    place = join(household, course)
    add_to_cart(
        household=household, child=household.children.get(), course=create_course(), now=timezone.now()
    )

    free(course)
    place.refresh_from_db()
    offered = (place.status, place.seat_number)
    page = parent_of(household).get(reverse("accept_offer", args=[place.public_id]))
    answer = accept(household, place, total="14400")
    shop.pay(answer.url)
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")

    assert offered == ("offered", 1)
    assert "Your cart does not change." in words(page)
    assert "$144.00" in words(page)
    assert outcome(place) == {
        "seat": ("active", 1),
        "order": "confirmed",
        "installments": ["paid"],
        "attempts": [("checkout", "succeeded")],
        "payments": [(14400, True)],
        "emails": {
            "waitlist_joined": 1,
            "waitlist_offer": 1,
            "order_confirmation": 1,
            "payment_success": 1,
            "enrollment_confirmation": 1,
        },
    }
    assert cart_of(household).items.count() == 1
    assert violations() == []


def test_an_offer_can_be_paid_by_the_plans_of_the_class(shop):
    plan = PaymentPlan.objects.create(name="In 2 parts", parts=2)
    course, household = full_class(), family()
    place = join(household, course)
    free(course)

    answer = accept(household, place, plan=str(plan.pk), total="14400")
    shop.pay(answer.url)
    hear(shop, "payment_intent.succeeded")

    order = order_of(place)
    assert [(part.amount_cents, part.status) for part in order.installments.all()] == [
        (7200, "paid"),
        (7200, "scheduled"),
    ]
    assert order.consent.given_by == household.guardians.get()


def test_an_accepted_seat_that_is_not_paid_goes_to_the_next(shop):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    free(course)
    accept(first, places[0])
    hold = order_of(places[0]).held_until - timezone.now()

    Order.objects.update(held_until=timezone.now())
    expire_holds(now=timezone.now() + timedelta(seconds=1))

    statuses = [Enrollment.objects.get(pk=place.pk).status for place in places]
    assert hold < timedelta(minutes=60)
    assert statuses == ["released", "offered"]
    assert mails(first)["waitlist_lapsed"] == 1
    assert mails(second) == {"waitlist_joined": 1, "waitlist_offer": 1}
    assert violations() == []


def test_links_of_the_email_change_nothing_until_a_button_is_pressed(shop):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    free(course)
    told = EmailMessage.objects.get(kind="waitlist_offer").context
    stranger = Client()

    pages = [stranger.get(told[name]) for name in ("accept_path", "decline_path")]
    posted = stranger.post(told["accept_path"])
    to_login = stranger.get(reverse("accept_offer", args=[places[0].public_id]))
    before = Enrollment.objects.get(pk=places[0].pk).status
    declined = stranger.post(told["decline_path"])
    again = stranger.post(told["decline_path"])

    assert [page.status_code for page in [*pages, posted]] == [200, 200, 200]
    assert "/account/login/" in to_login.url
    assert before == "offered"
    assert declined.status_code == 302
    assert again.status_code == 410
    assert [Enrollment.objects.get(pk=place.pk).status for place in places] == ["declined", "offered"]
    assert mails(first) == {"waitlist_joined": 1, "waitlist_offer": 1}
    assert stranger.get("/offer/forged/").status_code == 404


def test_an_offer_that_is_over_cannot_be_accepted(shop):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    free(course)
    end_offer(places[0])

    answer = accept(first, places[0])
    minute()

    assert answer.status_code == 410
    assert [Enrollment.objects.get(pk=place.pk).status for place in places] == ["lapsed", "offered"]
    assert mails(first)["waitlist_lapsed"] == 1
    assert not Order.objects.filter(origin="waitlist").exists()


def test_the_offer_of_another_family_is_not_found(shop):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    place = join(first, course)
    free(course)

    for name in ("accept_offer", "leave_waitlist"):
        page = reverse(name, args=[place.public_id])
        assert parent_of(second).get(page).status_code == 404
        assert parent_of(second).post(page).status_code == 404


# --- The priority tier: charged at once ---------------------------------------------------------------------


@pytest.fixture
def waiting(shop):
    """A family in the priority tier, with a card."""

    def make(card=VISA):
        course, household = full_class(), family()
        save_a_card(shop, household, card)
        return join(household, course, "priority")

    return make


def test_priority_asks_for_consent_to_the_amount_first(shop):
    course, household = full_class(), family()
    save_a_card(shop, household)

    asked = ask_to_join(household, course, "priority")
    assert not course.enrollments.filter(status="waitlisted").exists()
    other_price = ask_to_join(household, course, "priority", at_most="100")
    place = join(household, course, "priority")

    consent = WaitlistConsent.objects.get(enrollment=place)
    assert consent.text in words(asked)
    assert "The price has changed" in other_price.text
    assert (consent.at_most_cents, consent.given_by) == (14400, household.guardians.get())
    assert (consent.text_version, consent.address) == ("2026-12-01", "127.0.0.1")
    assert "$144.00, or less" in consent.text
    assert place.tier == "priority"


def test_a_priority_seat_is_charged_at_once(shop, waiting):
    place = waiting()

    free(place.course)
    minute()
    hear(shop, "invoice.paid")
    minute()

    assert outcome(place) == PROMOTED
    assert order_of(place).placed_by == place.child.household.guardians.get()
    assert not StaffTask.objects.exists()
    call_command("check_invariants")


def test_without_a_card_the_line_moves_up_when_it_is_saved(shop):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    join(first, course)

    answer = ask_to_join(second, course, "priority", at_most="14400")
    place = place_of(second, course)
    before = (place.tier, place.joined_at)
    shop.pay(answer.url)
    hear(shop, "setup_intent.succeeded")
    minute()

    place.refresh_from_db()
    assert before == ("regular", place.joined_at)
    assert (place.tier, place.status) == ("priority", "waitlisted")
    mails_so_far = EmailMessage.objects.filter(to=second.guardians.get().email).order_by("pk")
    told = [row.context for row in mails_so_far]
    assert [(row["tier"], row["position"]) for row in told] == [("regular", 2), ("priority", 1)]
    free(course)
    minute()
    assert outcome(place)["seat"] == ("active", 1)
    assert violations() == []


def answers_next(shop, place, answer):
    """How the bank answers the next charge of the family's card."""
    card = Card.objects.get(household=place.child.household_id, replaced_at=None)
    shop.server.control("POST", f"/_cards/{card.stripe_payment_method_id}", {"next": [answer]})


@pytest.mark.parametrize(
    ("answer", "attempt"),
    [
        ("insufficient_funds", "declined"),
        ("lost_card", "declined"),
        ("authentication_required", "needs_auth"),
    ],
)
def test_a_declined_priority_seat_waits_for_another_card(shop, waiting, answer, attempt):
    place = waiting()
    answers_next(shop, place, answer)
    free(place.course)
    minute()

    declined = outcome(place)
    attempts = declined.pop("attempts")
    told = EmailMessage.objects.get(kind="waitlist_charge_failed").context
    order, client = order_of(place), parent_of(place.child.household)
    held_for = order.held_until - timezone.now()
    Order.objects.update(placed_at=timezone.now() - timedelta(hours=5))  # later than any cart's hold
    page = client.post(reverse("pay", args=[order.public_id]))
    shop.pay(page.url)
    hear(shop, "payment_intent.succeeded", "invoice.payment_failed")

    assert declined == CHARGE_FAILED
    assert attempts == [("auto", attempt)]
    assert told["needs_auth"] is (attempt == "needs_auth")
    assert timedelta(hours=11) < held_for <= timedelta(hours=12)
    paid = outcome(place)
    assert (paid["seat"], paid["order"], paid["payments"]) == (("active", 1), "confirmed", [(14400, True)])
    assert paid["emails"] == CHARGE_FAILED["emails"] | {"payment_success": 1, "enrollment_confirmation": 1}
    [[invoice]] = shop.server.books()["invoices"].values()
    assert invoice["status"] == "void"
    assert violations() == []


def test_an_unpaid_priority_seat_goes_to_the_next(shop, waiting):
    place, second = waiting(SAVED_BUT_DECLINES), family("Chen")
    join(second, place.course)
    free(place.course)
    minute()

    Order.objects.update(held_until=timezone.now())
    expire_holds(now=timezone.now() + timedelta(seconds=1))

    assert outcome(place) == {
        "seat": ("released", None),
        "order": "expired",
        "installments": ["cancelled"],
        "attempts": [("auto", "declined")],
        "payments": [],
        "emails": CHARGE_FAILED["emails"] | {"waitlist_lapsed": 1},
    }
    assert place_of(second, place.course).status == "offered"


def test_a_charge_of_unknown_outcome_keeps_the_seat(shop, waiting):
    place = waiting()
    free(place.course)
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*/pay", "kind": "drop_after"}])
    minute()

    Order.objects.update(held_until=timezone.now())
    came_to = expire_holds(now=timezone.now() + timedelta(seconds=1))
    unknown = outcome(place)
    page = parent_of(place.child.household).post(
        reverse("pay", args=[order_of(place).public_id]), follow=True
    )
    ChargeAttempt.objects.update(next_look_at=timezone.now())
    minute()

    assert came_to == {"waiting": 1}
    assert unknown["seat"] == ("held", 1)
    assert unknown["attempts"] == [("auto", "unknown")]
    assert "being charged right now" in page.text
    assert outcome(place) == PROMOTED


def higher_price(place):
    Course.objects.filter(pk=place.course_id).update(price_cents=20000)


def refused_card(place):
    Card.objects.update(refused_at=timezone.now())


@pytest.mark.parametrize("change", [higher_price, refused_card])
def test_what_cannot_be_charged_as_agreed_is_asked_by_email(shop, waiting, change):
    place = waiting()
    change(place)

    free(place.course)
    minute()

    place.refresh_from_db()
    assert (place.status, place.tier) == ("offered", "regular")
    assert not Order.objects.filter(origin="waitlist").exists()
    assert mails(place.child.household) == {"waitlist_joined": 1, "waitlist_offer": 1}
    assert EmailMessage.objects.get(kind="waitlist_offer").context["instead_of_charge"] is True
    assert violations() == []


def test_nothing_is_charged_at_once_that_a_former_guardian_agreed_to(shop, waiting):
    place = waiting()
    household = place.child.household
    create_guardian(household=household)
    User.objects.filter(pk=WaitlistConsent.objects.get().given_by_id).update(household=None)

    free(place.course)
    minute()

    place.refresh_from_db()
    assert (place.status, place.tier) == ("offered", "regular")
    assert mails(household) == {"waitlist_offer": 1}
    assert not ChargeAttempt.objects.on_saved_cards().exists()


def test_a_card_refused_before_the_charge_leaves_it_to_the_family(shop, waiting):
    place = waiting()
    free(place.course)
    sweep_waitlist()
    refused_card(place)
    minute()

    left = outcome(place)
    assert left.pop("attempts") == [("auto", "not_executed")]
    assert left == CHARGE_FAILED
    assert list(StaffTask.objects.values_list("kind", flat=True)) == ["waitlist_charge"]


def test_what_costs_nothing_is_taken_without_a_charge(shop):
    """The price fell to nothing after the family had agreed to one."""
    course, household = full_class(), family()
    save_a_card(shop, household)
    place = join(household, course, "priority")
    Course.objects.filter(pk=course.pk).update(price_cents=0)

    free(course)
    minute()

    assert outcome(place) | {"emails": 0} == {
        "seat": ("active", 1),
        "order": "confirmed",
        "installments": [],
        "attempts": [],
        "payments": [],
        "emails": 0,
    }
    assert mails(household) == {"waitlist_joined": 1, "waitlist_promoted": 1, "enrollment_confirmation": 1}
