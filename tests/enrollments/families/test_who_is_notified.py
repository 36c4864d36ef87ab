"""Staff read who gets an email about what they do: the family, or nobody."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import Installment, Payment, Refund
from csf.dates import local_date
from enrollments.models import Enrollment, Household
from notifications.models import EmailMessage, Suppression
from tests.factories import create_course, create_guardian, create_household, create_order, create_staff
from tests.staff_forms import hide_page
from tests.staff_forms import page_of as act


@pytest.fixture
def office(client, db):
    client.force_login(create_staff())
    return client


@pytest.mark.parametrize(
    ("has_guardian", "text", "mails"), [(True, "The family is notified", 1), (False, "Nobody is notified", 0)]
)
def test_credit_for_a_family_says_who_is_notified(office, has_guardian, text, mails):
    household = create_household()
    household.guardians.update(is_active=has_guardian)
    page = reverse("admin:enrollments_household_act", args=[household.pk, "give-credit"])

    asked = office.get(page)
    fingerprint = re.search(r'name="fingerprint" value="([^"]*)"', asked.text)[1]
    done = office.post(page, {"fingerprint": fingerprint, "cents": "20", "reason": "sorry"}, follow=True)

    assert text in asked.text
    assert f"The credit has been given. {text}" in done.text
    assert EmailMessage.objects.filter(kind__contains="credit").count() == mails


def sold(course):
    """A family that has paid a part in cash, owes another, has asked for a refund and waits for a class."""
    order = create_order(courses=[course])
    order.confirm(reason="paid")
    part, money = order.installments.get(), {"amount_cents": 7_000, "currency": "usd"}
    Installment.objects.filter(pk=part.pk).update(status="paid", amount_cents=7_000)
    later = local_date(timezone.now()) + timedelta(days=30)
    Installment.objects.create(order=order, number=2, due_on=later, amount_cents=7_400)
    payment = Payment.objects.create(
        order=order, installment=part, method="cash", received_at=timezone.now(), **money
    )
    refund = {"cause": "staff", "reason": "x", "method": "cash", "currency": "usd", "amount_cents": 100}
    Refund.objects.create(order=order, payment=payment, **refund)
    child = order.household.children.get()
    waiting = {"status": "waitlisted", "tier": "regular", "joined_at": timezone.now()}
    Enrollment.objects.create(child=child, course=create_course(), **waiting)
    return order


def forms(order):
    """The staff forms whose act emails the family."""
    place = Enrollment.objects.get(order_item__order=order)
    payment, waiting = order.payments.get(), Enrollment.objects.get(status="waitlisted")
    return [
        act(order.household, "give-credit"),
        act(order.installments.get(number=2), "offline"),
        act(place, "cancel"),
        act(payment, "refund"),
        act(payment.refunds.get(), "reject"),
        f"{act(place, 'move', 'transfer')}?course={create_course(sessions=10).pk}",
        act(waiting, "take-off", "waitlist"),
    ]


def words(answer):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def shut_out(guardian):
    type(guardian).objects.filter(pk=guardian.pk).update(is_active=False)
    return "the family has no guardian with an account. Add one, or call."


def bounced(guardian):
    Suppression.objects.create(address=guardian.email, scope="all", cause="bounced")
    return (
        f"{guardian.email} gets no emails (the address does not accept email). Correct the address, or call."
    )


@pytest.mark.parametrize("stop", [shut_out, bounced])
def test_every_form_whose_act_emails_a_family_says_that_nobody_gets_it(office, stop):
    course = create_course(sessions=10)
    order = sold(course)
    pages = forms(order)
    assert not [page for page in pages if "Nobody is notified" in words(office.get(page))]

    why = stop(order.household.guardians.get())

    assert [page for page in pages if f"Nobody is notified: {why}" not in words(office.get(page))] == []
    line = f"Not notified {order.household}: {why}"
    closing = office.get(act(course, "class", "closing"), {"terms": "refund"})
    assert line in words(closing)
    waits_for = Enrollment.objects.get(status="waitlisted").course
    assert line in words(office.get(hide_page(waits_for)))


def test_a_second_guardian_who_gets_copies_is_enough(office):
    household = create_household()
    other = create_guardian(household=household)
    other.email_preferences.create(choice="copies", is_on=True, origin="page")
    bounced(household.lead)

    page = reverse("admin:enrollments_household_act", args=[household.pk, "give-credit"])

    assert "The family is notified by email." in words(office.get(page))


def test_a_new_family_needs_a_guardian(office):
    empty = {
        f"{prefix}-{name}": 0
        for prefix in ("guardians", "children")
        for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    page = reverse("admin:enrollments_household_add")

    refused = office.post(page, {"name": "Lopez family"} | empty)
    guardian = {"guardians-TOTAL_FORMS": 1, "guardians-0-email": "lopez@example.org"}
    added = office.post(page, {"name": "Lopez family", "guardians-0-is_active": "on"} | empty | guardian)

    assert "Please submit at least 1 form." in refused.text
    assert added.status_code == 302
    assert Household.objects.get().guardians.get().email == "lopez@example.org"
