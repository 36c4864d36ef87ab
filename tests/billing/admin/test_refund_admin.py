"""The staff pages of cancelling a place and of refunds: what they say happens, and only by whom it may."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.ledger.refund_sending import refund_waiting
from billing.models import Cancellation, Payment, Refund, Terms
from csf.staff.fingerprint import fingerprint_of
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_course, create_order
from tests.shop import hear, open_page
from tests.staff_pages import act_on, page_of, press, staff_client


@pytest.fixture
def paid_order(shop):
    order = create_order(courses=[create_course(sessions=10)])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    return Order.objects.get(pk=order.pk)


def asked_for(order):
    parent = order.household.guardians.get()
    cancel_enrollment(enrollment=Enrollment.objects.get(), by=parent, reason="x", now=timezone.now())
    return Refund.objects.get()


@pytest.mark.parametrize(
    ("terms", "refund_cents", "credit_cents"),
    [("refund", 14400, 0), ("credit", 0, 14400), ("prorated", 0, 14400), ("nothing", 0, 0)],
)
def test_a_place_is_cancelled_on_the_terms_that_staff_choose(
    paid_order, client, terms, refund_cents, credit_cents
):
    office = staff_client(client, "add_cancellation")
    place = Enrollment.objects.get()
    assert "Cancel this place" in office.get(page_of(place)).text

    page = office.get(act_on(place, "cancel"))
    assert page.context["form"]["terms"].initial == "refund"
    assert "$144.00 to Visa ending in 4242" in page.text
    assert "(our policy)" in page.text
    answer = press(office, place, "cancel", terms=terms)

    assert "The place is cancelled." in answer.text
    done = Cancellation.objects.get()
    assert (done.terms, done.refund_cents, done.credit_cents) == (terms, refund_cents, credit_cents)
    assert (done.by, done.reason) == (office.user, "agreed by phone")
    mail = EmailMessage.objects.get(kind="cancellation_confirmation")
    assert (mail.to, mail.context["by_family"]) == (paid_order.household.guardians.get().email, False)
    assert "Cancel this place" not in office.get(page_of(place)).text


def test_cancelling_needs_a_reason_a_right_and_the_figures_of_now(paid_order, client):
    place = Enrollment.objects.get()
    assert staff_client(client).get(act_on(place, "cancel")).status_code == 403
    office = staff_client(client, "add_cancellation")

    assert "Give a reason" in press(office, place, "cancel", terms="refund", reason=" ").text
    fingerprint = office.get(act_on(place, "cancel")).context["facts"].fingerprint
    Order.objects.update(placed_at=timezone.now() - timedelta(days=30))
    Enrollment.objects.update(created_at=timezone.now() - timedelta(days=30))
    assert not Cancellation.objects.exists()
    first = office.post(
        act_on(place, "cancel"), {"fingerprint": fingerprint, "terms": "refund", "reason": "x"}
    )
    again = office.post(
        act_on(place, "cancel"), {"fingerprint": fingerprint, "terms": "refund", "reason": "x"}
    )

    assert first.status_code == 302  # all figures are as before: only the policy has changed
    assert "has changed since you opened this page" in again.text
    assert Cancellation.objects.count() == 1


def test_approving_needs_the_right_and_shows_what_matters(paid_order, client, shop):
    refund = asked_for(paid_order)
    for name in ("approve", "reject"):
        assert staff_client(client).post(act_on(refund, name)).status_code == 403
    finance = staff_client(client, "approve_refund")

    page = finance.get(page_of(refund)).text
    for said in [
        "$144.00 to Visa ending in 4242",
        "was cancelled",
        "Approve",
        "Reject",
        "Payments of the order",
    ]:
        assert said in page, said
    assert "Refund $144.00 to Visa ending in 4242" in finance.get(act_on(refund, "approve")).text
    assert "on its way" in press(finance, refund, "approve").text
    refund_waiting()
    twice = finance.post(
        act_on(refund, "approve"), {"fingerprint": fingerprint_of("requested", 14400)}, follow=True
    )

    refund.refresh_from_db()
    assert (refund.status, refund.approved_by) == ("succeeded", finance.user)
    assert "Something has changed" in twice.text
    assert [row["amount_cents"] for row in shop.server.books()["refunds"]] == [14400]


def test_above_the_limit_who_asked_is_told_to_call_another_person(paid_order, client, settings):
    settings.REFUND_TWO_PERSON_CENTS = 1000
    payment = Payment.objects.get()
    finance = staff_client(client, "approve_refund", "add_refund")
    press(finance, payment, "refund", cents="10.01")
    refund = Refund.objects.get()

    assert "someone other than the person" in press(finance, refund, "approve").text
    refund.refresh_from_db()
    assert refund.status == "requested"
    press(staff_client(client, "approve_refund"), refund, "approve")
    refund.refresh_from_db()
    assert refund.status == "approved"


def test_no_more_can_be_asked_for_than_is_left(paid_order, client):
    payment = Payment.objects.get()
    office = staff_client(client, "add_refund")
    assert "Request a refund" in office.get(page_of(payment)).text

    assert (
        "$144.00 of this payment can still be refunded"
        in press(office, payment, "refund", cents="144.01").text
    )
    assert "is waiting for approval" in press(office, payment, "refund", cents="144").text

    assert "Request a refund" not in office.get(page_of(payment)).text
    assert Refund.objects.get().reason == "agreed by phone"


def test_who_asks_and_who_approves_see_what_was_given_as_credit_already(paid_order, client):
    cancel_enrollment(
        enrollment=Enrollment.objects.get(), by=None, reason="x", now=timezone.now(), terms=Terms.CREDIT
    )
    finance = staff_client(client, "add_refund", "approve_refund")
    payment = Payment.objects.get()
    shown = finance.get(act_on(payment, "refund")).context["facts"].panel()
    assert dict(zip(shown.headers, shown.rows[0], strict=True))["Already given as credit"] == "$144.00"

    press(finance, payment, "refund", cents="144")

    shown = finance.get(act_on(Refund.objects.get(), "approve")).context["facts"].panel()
    assert dict(zip(shown.headers, shown.rows[0], strict=True))["Already given as credit"] == "$144.00"


def test_rejecting_is_told_to_the_family_without_the_reason(paid_order, client):
    refund = asked_for(paid_order)
    finance = staff_client(client, "approve_refund")

    assert "Give a reason" in press(finance, refund, "reject", reason="").text
    press(finance, refund, "reject")

    refund.refresh_from_db()
    assert refund.status == "rejected"
    mail = EmailMessage.objects.get(kind="refund_rejected")
    assert "by phone" not in str(mail.context)


def test_cash_is_handed_over_on_its_page(paid_order, client):
    cash = Payment.objects.create(
        order=paid_order, amount_cents=900, currency="usd", method="check", received_at=timezone.now()
    )
    finance = staff_client(client, "approve_refund", "add_refund")
    press(finance, cash, "refund", cents="9")
    refund = Refund.objects.get()
    assert "Handed over" not in finance.get(page_of(refund)).text
    press(finance, refund, "approve")

    assert "$9.00 was handed over by check" in finance.get(act_on(refund, "handed-over")).text
    assert "serves as its receipt" in press(finance, refund, "handed-over").text

    assert EmailMessage.objects.get(kind="refund_issued").context["way_back"] == "by check"


def test_approving_asks_for_a_fresh_sign_in(paid_order, client):
    refund = asked_for(paid_order)
    finance = staff_client(client, "approve_refund")
    session = finance.session
    session["account_authentication_methods"][0]["at"] -= 301
    session.save()

    answer = finance.get(act_on(refund, "approve"))

    assert answer.status_code == 302
    assert "reauthenticate" in answer.url
    assert finance.get(act_on(refund, "reject")).status_code == 200


def test_the_queue_is_a_click_from_the_start_page(paid_order, client):
    refund = asked_for(paid_order)
    finance = staff_client(client, "approve_refund")

    start = finance.get(reverse("admin:index"))
    [tile] = [tile for tile in start.context["tiles"] if tile.title == "Refunds to approve"]

    assert (tile.value, tile.is_alarm) == ("1", True)
    assert f'href="{tile.url}"' in start.text
    assert finance.get(tile.url).context["cl"].result_count == 1
    assert page_of(refund) in finance.get(tile.url).text
