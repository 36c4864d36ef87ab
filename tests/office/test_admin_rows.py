"""The pages of single rows: a family, an order, an email, an event, a task, and the start page."""

import re
from html import escape, unescape

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from billing.models import ChargeAttempt, Payment, StripeEvent, StripeEventStatus
from billing.task_kinds import MoneyTask
from csf.models import StaffTask
from enrollments.models import Household, User
from notifications.models import EmailMessage, EmailPreference, EmailStatus
from orders.models import Order
from tests.factories import create_guardian, create_household, create_order
from tests.office.everything import HOSTILE, create_choices, create_event, create_paid_order, page_of

pytestmark = pytest.mark.django_db


def test_family_page_shows_children_orders_and_emails_of_this_family_only(staff):
    household = create_household(name="Visible")
    order, _ = create_paid_order(household=household)
    other, _ = create_paid_order(household=create_household(name="Elsewhere"))

    html = staff.get(page_of(Household, "change", household.pk)).content.decode()

    assert order.number in html
    assert "Order confirmation" in html
    assert order.items.get().course.title in html
    assert other.number not in html
    assert "Elsewhere" not in html


def test_family_page_shows_who_gets_which_emails_and_who_was_invited(staff):
    household = create_household()
    create_choices(household)
    second = create_guardian(household=household, email="second@example.org")
    EmailPreference.objects.create(user=second, choice="copies", is_on=True, origin="invitation")
    create_guardian(household=household, email="third@example.org")

    html = staff.get(page_of(Household, "change", household.pk)).content.decode()

    panel = re.sub(r"<[^>]+>|\s+", " ", html.partition("Who gets the family&#x27;s emails")[2])
    told = " ".join(panel.split())
    assert f"{household.email} yes, leads the family Newsletter: on (the preferences page, " in told
    assert "second@example.org yes, as copies" in told
    assert "third@example.org no" in told
    assert "robin@example.org" in told


def test_order_page_shows_lines_money_emails_and_who_changed_what(staff):
    order, payment = create_paid_order()
    order.refresh_from_db()

    html = staff.get(page_of(Order, "change", order.pk)).content.decode()

    assert page_of(Payment, "change", payment.pk) in html
    assert page_of(ChargeAttempt, "change", ChargeAttempt.objects.get().pk) in html
    assert page_of(EmailMessage, "change", EmailMessage.objects.first().pk) in html
    assert "waiting for payment → confirmed" in html
    assert page_of(User, "change", order.placed_by_id) in html


def test_email_is_shown_in_a_frame_that_runs_and_loads_nothing(staff):
    create_paid_order()
    email = EmailMessage.objects.filter(html__contains="script").first()

    html = staff.get(page_of(EmailMessage, "change", email.pk)).content.decode()

    frame = re.search(r"<iframe ([^>]*)>", html).group(1)
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', frame))
    assert frame.startswith("sandbox ")
    assert unescape(attributes["srcdoc"]).startswith(
        "<!doctype html><meta http-equiv='Content-Security-Policy'"
    )
    assert "default-src 'none'" in unescape(attributes["srcdoc"])
    assert HOSTILE in unescape(attributes["srcdoc"])
    assert "<script>alert" not in html


def test_try_again_gives_a_parked_event_back_to_the_inbox_and_wakes_a_worker(staff):
    parked = create_event(status=StripeEventStatus.PARKED, tries=8, finished_at=timezone.now())
    processed = create_event(status=StripeEventStatus.PROCESSED, tries=1, finished_at=timezone.now())

    response = staff.post(
        page_of(StripeEvent, "changelist"),
        {"action": "try_again", "_selected_action": [parked.pk, processed.pk], "index": "0"},
        follow=True,
    )

    parked.refresh_from_db()
    processed.refresh_from_db()
    assert (parked.status, parked.tries, parked.finished_at) == ("received", 0, None)
    assert processed.status == "processed"
    assert [(task.func(), task.args()) for task in OrmQ.objects.all()] == [
        ("billing.tasks.process_event", (parked.stripe_id,))
    ]
    assert "Parked events to try again: 1." in response.content.decode()


def test_closing_a_task_stamps_who_and_when_once(staff):
    StaffTask.open(MoneyTask.EVENT_PARKED, create_event())
    task = StaffTask.objects.get()
    button = {"action": "close", "_selected_action": [task.pk], "index": "0"}
    assert "Close selected tasks" in staff.get(page_of(StaffTask, "change", task.pk)).content.decode()

    staff.post(page_of(StaffTask, "changelist"), button)
    task.refresh_from_db()
    first = (task.closed_by, task.closed_at)
    staff.post(page_of(StaffTask, "changelist"), button)

    task.refresh_from_db()
    assert first[0] == staff.user
    assert (task.closed_by, task.closed_at) == first
    assert 'name="row_action"' not in staff.get(page_of(StaffTask, "change", task.pk)).content.decode()


def test_task_about_many_rows_leads_to_their_list(staff):
    for _ in range(3):
        EmailMessage.report_failed("payment_success", "TemplateDoesNotExist")

    html = staff.get(page_of(StaffTask, "changelist")).content.decode()

    assert StaffTask.objects.count() == 1
    path = f"{page_of(EmailMessage, 'changelist')}?kind__exact=payment_success&status__exact=failed"
    assert f'href="{escape(path)}"' in html
    assert staff.get(path).status_code == 200


def test_event_whose_body_was_purged_has_a_page(staff):
    event = create_event(body="")

    assert "(purged)" in staff.get(page_of(StripeEvent, "change", event.pk)).content.decode()


def test_start_page_counts_and_links_to_the_rows_it_counts(staff):
    StaffTask.open(MoneyTask.EVENT_PARKED, create_event(status=StripeEventStatus.PARKED))
    StaffTask.open(MoneyTask.CHARGE_REJECTED, create_order())
    create_paid_order()
    EmailMessage.objects.filter(pk=EmailMessage.objects.first().pk).update(status=EmailStatus.UNKNOWN)
    queued = EmailMessage.objects.filter(status=EmailStatus.QUEUED).count()

    with CaptureQueriesContext(connection) as queries:
        tiles = staff.get(reverse("admin:index")).context["tiles"]

    assert {tile.title: tile.value for tile in tiles} == {
        "Request refused by Stripe": "1",
        "Orders waiting for payment": "1",
        "Paid in the last 7 days": "$144.00",
        "Refunds to approve": "0",
        "Today's daily jobs": "0 of 6 done",
        "Emails that failed": "0",
        "Emails with unknown outcome": "1",
        "Emails waiting": str(queued),
        "Parked Stripe events": "1",
        "Background work": "stopped",
        "Places filled": "12%",
    }
    assert len(queries) <= 12
    listed = {tile.title: staff.get(tile.url).context.get("cl") for tile in tiles}
    for title in [
        "Request refused by Stripe",
        "Parked Stripe events",
        "Orders waiting for payment",
        "Emails with unknown outcome",
    ]:
        assert listed[title].result_count == 1, title
    assert listed["Paid in the last 7 days"].result_count == 1
    assert listed["Emails waiting"].result_count == queued


def test_second_guardian_with_the_same_email_in_capitals_is_refused_in_words(staff):
    household = create_household(children=0)
    guardian = household.guardians.get()
    data = {
        "name": "Garcia",
        "guardians-TOTAL_FORMS": "2",
        "guardians-INITIAL_FORMS": "1",
        "guardians-0-id": guardian.pk,
        "guardians-0-household": household.pk,
        "guardians-0-email": guardian.email,
        "guardians-0-is_active": "on",
        "guardians-1-household": household.pk,
        "guardians-1-email": guardian.email.upper(),
        "children-TOTAL_FORMS": "0",
        "children-INITIAL_FORMS": "0",
    }

    html = staff.post(page_of(Household, "change", household.pk), data).content.decode()

    assert "This email address is already in use." in html
    assert household.guardians.count() == 1
