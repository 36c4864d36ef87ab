"""What a family gets for one order: one email a fact, or one "You're in"; and the end of a hold."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.checkout.holds import expire_holds
from billing.checkout.place_order import place_order
from notifications.emails.money import order_expired
from notifications.models import EmailMessage
from notifications.preferences.rules import COPIES, choose
from notifications.sending.drain import drain
from orders.cart import add_to_cart
from orders.models import cart_of
from tests.factories import create_course, create_guardian, create_household, create_order
from tests.shop import Shop, accept, hear, open_page


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


def order_for_two(household=None, **placing):
    """Two children in a class each."""
    household = household or create_household(children=2)
    for child in household.children.all():
        course = create_course(sessions=10, what_to_bring="a towel\n\ngoggles")
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    order = cart_of(household)
    place_order(order=order, by=household.lead, now=timezone.now(), **placing)
    return order


def paid(shop, order):
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")


def sent_kinds(mail_server, to):
    return sorted(mail["kind"] for mail in mail_server.messages(to=to))


def rows(**lookups):
    return list(EmailMessage.objects.filter(**lookups).order_by("pk").values_list("kind", "status"))


@pytest.mark.parametrize("is_on", [False, True])
def test_receipt_and_confirmations_of_an_order_are_one_email_where_the_school_wants_that(
    shop, mail_server, settings, is_on
):
    settings.EMAIL_BUNDLE_ORDERS = is_on
    household = create_household(children=2)
    second = create_guardian(household=household)
    choose(second, COPIES, is_on=True, origin="page")

    paid(shop, order_for_two(household))
    drain()

    for reader in household.guardians.all():
        if not is_on:
            expected = ["enrollment_confirmation", "enrollment_confirmation", "order_confirmation"]
            assert sent_kinds(mail_server, reader.email) == [*expected, "payment_success"]
            continue
        assert sent_kinds(mail_server, reader.email) == ["order_confirmation", "order_paid"]
        bundle = EmailMessage.objects.get(kind="order_paid", recipient=reader)
        parts = rows(sent_as=bundle)
        expired = "expired"
        assert parts == [("payment_success", expired), *[("enrollment_confirmation", expired)] * 2]
        [mail] = [mail for mail in mail_server.messages(to=reader.email) if mail["kind"] == "order_paid"]
        assert [file["filename"] for file in mail["attachments"]] == ["class.ics", "class-2.ics"]
        for child in household.children.all():
            assert str(child) in mail["text"]
        for said in ("goggles", "Payment details".upper(), "Show on a map", settings.SCHOOL_ADDRESS):
            assert said in mail["text"]
    assert EmailMessage.objects.filter(dedupe_key__startswith="payment_success:payment:").count() == 2


def test_a_later_installment_has_a_receipt_of_its_own(shop, mail_server, settings):
    settings.EMAIL_BUNDLE_ORDERS = True
    order = order_for_two()
    order.confirm(reason="no payment is told of: each class by itself")
    drain()

    assert sent_kinds(mail_server, order.household.email) == [
        "enrollment_confirmation",
        "enrollment_confirmation",
        "order_confirmation",
    ]
    assert not EmailMessage.objects.exclude(sent_as=None).exists()


def test_the_family_is_told_when_its_places_are_no_longer_held(shop, mail_server):
    order = order_for_two()
    EmailMessage.objects.all().delete()

    expire_holds(now=order.held_until + timedelta(seconds=1))
    order.refresh_from_db()
    assert order.status == "expired"
    EmailMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    drain()

    [mail] = mail_server.messages(to=order.household.email)
    assert mail["kind"] == "order_expired"
    assert order.number in mail["subject"]
    for item in order.items.select_related("course"):
        assert item.course.get_absolute_url() in mail["text"]


def test_money_that_comes_in_the_last_moment_makes_that_email_untrue(shop, mail_server):
    order = create_order()
    page = open_page(order)
    order.refresh_from_db()
    shop.pay(page)
    moved = order.transitions.create(from_status="placed", to_status="expired")
    assert order_expired.owes(moved)
    hear(shop, "payment_intent.succeeded")
    EmailMessage.objects.update(next_attempt_at=timezone.now() - timedelta(seconds=1))
    drain()

    assert "order_expired" not in sent_kinds(mail_server, order.household.email)
    assert rows(kind="order_expired") == [("order_expired", "expired")]
