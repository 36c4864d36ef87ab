"""A copy of production acts on nothing outside: no email, no change at Stripe, no event worked off."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing import tasks as billing_tasks
from billing.checkout.holds import expire_holds
from billing.installments.charging import charge_waiting
from billing.models import Installment, StripeEvent
from billing.stripe import gateway
from billing.stripe.page_calls import StripeUnavailable
from csf.dates import local_date, start_of_day
from csf.models import Instance, StaffTask
from notifications import tasks as email_tasks
from notifications.alerts.health import problems
from notifications.daily.reminders import send_installment_reminders
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_course, create_order
from tests.shop import Shop, accept, hear, open_page, order_with_plan, outcome
from tests.stripe_events import deliver

pytestmark = pytest.mark.django_db
WEEK = timedelta(days=7)


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


def moved_at(stripe_server):
    """All that happened at Stripe; its clock goes on by itself."""
    return {name: rows for name, rows in stripe_server.books().items() if name != "now"}


def statuses():
    return set(EmailMessage.objects.values_list("status", flat=True))


def become_a_copy():
    """As after restoring production's backup beside it."""
    Instance.objects.all().delete()
    Instance.objects.create(id="production")


def test_a_fresh_database_acts_but_not_in_production(settings):
    assert Instance.why_quarantined() == ""

    settings.IS_PRODUCTION = True

    assert "manage.py prepare" in Instance.why_quarantined()


def test_prepare_names_the_database_once(settings):
    Instance.begin()
    settings.INSTANCE_ID = "another"
    Instance.begin()

    assert Instance.objects.get().id == "local"
    assert "'local'" in Instance.why_quarantined()
    assert "'another'" in Instance.why_quarantined()


def test_there_is_one_row():
    Instance.begin()

    with pytest.raises(IntegrityError), transaction.atomic():
        Instance.objects.create(id="second")


def test_a_copy_calls_nothing(mail_server, stripe_server):
    shop = Shop(stripe_server)
    accept()
    order = create_order(courses=[create_course(), create_course()])
    page = open_page(order)
    shop.pay(page)
    other = create_order()
    become_a_copy()
    before = outcome(order)
    for event in shop.events("payment_intent.succeeded", "checkout.session.completed"):
        assert deliver(event) == 200
    books = moved_at(stripe_server)

    with pytest.raises(StripeUnavailable):
        open_page(other)
    Order.objects.filter(pk=other.pk).update(held_until=timezone.now())
    assert expire_holds(now=timezone.now()) == {"waiting": 1}
    email_tasks.sweep_emails()
    email_tasks.drain()
    billing_tasks.sweep_events()
    for event in StripeEvent.objects.all():
        billing_tasks.process_event(event.stripe_id)
    assert not charge_waiting()

    assert mail_server.requests() == []
    assert moved_at(stripe_server) == books
    assert statuses() == {"queued"}
    assert set(StripeEvent.objects.values_list("status", "tries")) == {("received", 0)}
    assert outcome(order) == before


def test_a_standby_leaves_empty_books_until_it_is_released(mail_server, stripe_server):
    become_a_copy()
    empty = moved_at(stripe_server)
    order = create_order()
    with pytest.raises(StripeUnavailable):
        open_page(order)
    email_tasks.drain()
    assert (moved_at(stripe_server), mail_server.requests()) == (empty, [])

    call_command("lift_quarantine", "--yes")

    assert open_page(order).startswith(stripe_server.url)
    assert Instance.objects.get().id == "local"


@pytest.mark.parametrize(
    "write",
    [
        lambda: gateway.create_customer(email="a@example.org", name="A", metadata={}, key="k1"),
        lambda: gateway.expire_checkout_session("cs_1", key="k2"),
        lambda: gateway.create_invoice(customer="cus_1", currency="usd", metadata={}, key="k3"),
        lambda: gateway.pay_invoice("in_1", card="pm_1", key="k4"),
    ],
)
def test_no_write_leaves_in_quarantine_and_reading_does(stripe_server, write):
    Instance.quarantine()

    with pytest.raises(gateway.Quarantined):
        write()

    with pytest.raises(gateway.StripeRefused):
        gateway.retrieve_invoice("in_1")


def test_a_drain_asks_once(mail_server):
    Instance.quarantine()
    create_order()

    with CaptureQueriesContext(connection) as queries:
        email_tasks.drain()

    assert sum("csf_instance" in query["sql"] for query in queries) == 1
    assert len(queries) == 2


def test_health_says_it_in_words(client, caplog):
    Instance.quarantine()

    assert "in quarantine since" in problems()[0].text
    answer = client.get(reverse("readyz"))
    assert (answer.status_code, answer.content) == (503, b"not ready\n")
    assert "nothing is sent or charged: in quarantine since" in caplog.text
    with pytest.raises(CommandError, match="in quarantine since"):
        call_command("cluster_health")


def test_release_withholds_what_was_owed_before_and_sends_what_came_after(mail_server, capsys):
    create_order()
    call_command("quarantine")
    EmailMessage.objects.update(created_at=Instance.objects.get().quarantined_at.replace(year=2020))
    create_order()

    with pytest.raises(CommandError, match="--yes"):
        call_command("lift_quarantine")
    call_command("lift_quarantine", "--yes")

    assert "emails withheld=1" in capsys.readouterr().out
    assert list(EmailMessage.objects.order_by("pk").values_list("status", flat=True)) == [
        "withheld",
        "queued",
    ]
    email_tasks.drain()
    assert len(mail_server.requests()) == 1
    with pytest.raises(CommandError, match="no quarantine"):
        call_command("lift_quarantine", "--yes")


def test_releasing_a_copy_takes_the_configured_name_and_withholds_all_that_is_owed(settings, committed_db):
    Instance.begin()
    create_order()
    settings.INSTANCE_ID = "standby"

    call_command("lift_quarantine", "--yes")

    instance = Instance.objects.get()
    assert (instance.id, instance.quarantined_at, Instance.why_quarantined()) == ("standby", None, "")
    assert instance.lifted_at
    assert statuses() == {"withheld"}


def test_after_a_release_only_what_happened_since_the_restore_is_emailed(shop):
    """Stripe reports both payments afterwards; the lost installation may have emailed about the first."""
    before, after = create_order(), create_order()
    shop.pay(open_page(before))
    page = open_page(after)
    shop.server.control("POST", "/_clock", {"advance": 60})
    Instance.quarantine()
    Instance.objects.update(quarantined_at=timezone.now() + timedelta(seconds=30))
    shop.pay(page)

    call_command("lift_quarantine", "--yes")
    hear(shop, "payment_intent.succeeded")

    told = EmailMessage.objects.exclude(kind="order_confirmation")
    assert sorted(told.values_list("kind", "to", "status")) == [
        ("enrollment_confirmation", before.household.lead.email, "withheld"),
        ("enrollment_confirmation", after.household.lead.email, "queued"),
        ("payment_success", before.household.lead.email, "withheld"),
        ("payment_success", after.household.lead.email, "queued"),
    ]
    assert StaffTask.objects.filter(kind="emails_withheld").count() == 1


@pytest.mark.parametrize(("due_in_days", "status"), [(2, "withheld"), (3, "queued")])
def test_a_reminder_that_the_lost_installation_had_time_for_is_withheld(shop, due_in_days, status):
    part = order_with_plan(shop)
    today = local_date(timezone.now())
    Installment.objects.update(due_on=today + timedelta(days=due_in_days), created_at=timezone.now() - WEEK)
    Instance.quarantine()
    Instance.objects.update(quarantined_at=start_of_day(today))
    Instance.lift_quarantine()

    send_installment_reminders(on=today)

    [reminder] = EmailMessage.objects.filter(kind="installment_reminder", fact_id=part.pk)
    assert reminder.status == status
