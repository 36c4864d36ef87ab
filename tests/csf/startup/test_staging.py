"""A copy of production that is tried out: one address gets all its emails, and live mode is left alone."""

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing import tasks
from billing.models import BookDifference, Card, Installment, StripeCustomer
from csf.dates import local_date
from csf.models import Instance, StaffTask
from notifications import checks
from notifications import tasks as email_tasks
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_household, create_order
from tests.shop import Shop, accept, hear, open_page, order_with_plan, outcome

pytestmark = pytest.mark.django_db
TESTER = "tester@example.org"


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


@pytest.fixture
def copy(shop, settings):
    """Of a live installation: one order is due, another is being paid."""
    Instance.begin()
    due = order_with_plan(shop)
    being_paid = create_order()
    open_page(being_paid)
    Installment.objects.filter(pk=due.pk).update(due_on=local_date(timezone.now()))
    Order.objects.filter(pk=being_paid.pk).update(held_until=timezone.now())
    StripeCustomer.objects.update(livemode=True)
    shop.server.control("POST", "/_reset")  # the test account knows nothing of all this
    settings.INSTANCE_ID, settings.STAGING_EMAILS_TO = "staging", TESTER
    call_command("lift_quarantine", "--yes")
    return due


def a_day_passes():
    for job in ("charge_due_installments", "retry_failed_payments", "compare_books"):
        call_command("run_job", job)
    tasks.reconcile()
    tasks.sweep_charges()
    tasks.charge()
    tasks.sweep_holds()
    call_command("run_job", "send_installment_reminders")
    call_command("run_job", "process_overdue_installments")
    email_tasks.drain()


def test_what_belongs_to_live_mode_is_left_alone(copy, shop, mail_server):
    a_day_passes()

    assert shop.server.books()["posts"] == []
    assert mail_server.requests() == []
    assert not Card.objects.exclude(gone_at=None).exists()
    assert (StripeCustomer.objects.filter(livemode=True).count(), BookDifference.objects.count()) == (2, 0)
    assert sorted(Order.objects.values_list("status", flat=True)) == ["confirmed", "expired"]
    assert list(StaffTask.objects.open().values_list("kind", flat=True)) == ["emails_withheld"]
    copy.refresh_from_db()
    assert copy.status == "scheduled"


def test_a_tester_buys_as_a_family_of_the_copy_and_gets_its_emails(copy, shop, mail_server):
    order = create_order(household=copy.order.household)

    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    email_tasks.drain()

    assert outcome(order)["order"] == "confirmed"
    lead = order.household.lead.email
    mails = mail_server.messages()
    assert {(*mail["to"],) for mail in mails} == {(TESTER,)}
    sent = EmailMessage.objects.filter(status="sent")
    assert {mail["custom_args"]["outbox_id"] for mail in mails} == {str(row.public_id) for row in sent}
    assert {mail["subject"] for mail in mails} == {f"[{lead}] {row.subject}" for row in sent}
    assert {row.to for row in sent} == {lead}


def test_another_familys_emails_go_there_too(copy, mail_server):
    create_order(household=create_household())

    email_tasks.drain()

    assert [mail["to"] for mail in mail_server.messages()] == [[TESTER]]


def test_it_is_refused_where_families_would_miss_their_emails(settings):
    settings.STAGING_EMAILS_TO, settings.STRIPE_LIVE_MODE = TESTER, True
    assert [error.id for error in checks.staging()] == ["csf.E070"]

    settings.STAGING_EMAILS_TO, settings.STRIPE_LIVE_MODE = "nobody", False
    assert [error.id for error in checks.addresses()] == ["csf.E030"]

    settings.STAGING_EMAILS_TO = TESTER
    assert [*checks.addresses(), *checks.staging()] == []
