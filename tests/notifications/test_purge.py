"""What is too old goes; what proves what happened, and what is still of use, stays."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.utils import timezone
from django_q.models import Success

from billing.models import StripeEvent
from csf.dates import local_date
from enrollments.models import Course
from notifications.models import FINAL, UNFINISHED, EmailAttempt, EmailEvent, EmailMessage, EmailStatus
from notifications.purge import forget_old_data
from orders.models import Order, OrderItem
from tests.factories import create_cart, create_household, create_order

pytestmark = pytest.mark.django_db

NAMES = "carts stripe_payloads stripe_events email_events tasks emails email_errors form_presses sessions"
NOTHING = dict.fromkeys([*NAMES.split(), "stripe_copies"], 0)


def days_ago(days):
    return timezone.now() - timedelta(days=days)


def purge(**options):
    return forget_old_data(on=local_date(timezone.now()), **options)


def create_old_cart(*, order_days, line_days=None):
    cart = create_cart()
    Order.objects.filter(pk=cart.pk).update(created_at=days_ago(order_days))
    cart.items.update(created_at=days_ago(order_days if line_days is None else line_days))
    return cart


def create_old_event(status, days, body='{"a": 1}'):
    number = StripeEvent.objects.count()
    finished_at = None if status == "received" else days_ago(days)
    return StripeEvent.objects.create(
        stripe_id=f"evt_{number}", type="x", livemode=False, body=body, status=status, finished_at=finished_at
    )


def create_email(status, days, number, **fields):
    return EmailMessage.objects.create(
        **{
            "kind": "order_confirmation",
            "to": "pat@example.org",
            "fact_id": number,
            "dedupe_key": f"test:{number}",
            "status": status,
            "created_at": days_ago(days),
            "subject": "Your order",
            "html": "<p>Kim</p>",
            "text": "Kim",
            "context": {"order_number": "K7M2P9QX", "first_name": "Pat"},
        }
        | fields
    )


def test_carts_that_nobody_touches_go_with_their_lines():
    old = create_old_cart(order_days=32)
    touched = create_old_cart(order_days=90, line_days=2)
    young = create_old_cart(order_days=20)
    empty = create_old_cart(order_days=2)
    empty.items.all().delete()
    just_made = Order.objects.create(household=create_household(), currency="usd")
    placed = create_order()
    Order.objects.filter(pk=placed.pk).update(created_at=days_ago(400))
    placed.items.update(created_at=days_ago(400))

    assert purge(dry_run=True) == NOTHING | {"carts": 2}
    assert purge() == NOTHING | {"carts": 2}
    assert purge() == NOTHING

    assert set(Order.objects.all()) == {touched, young, just_made, placed}
    assert not OrderItem.objects.filter(order=old.pk).exists()
    assert OrderItem.objects.count() == 3
    assert Course.objects.count() == 5


def test_bodies_of_finished_events_go_and_their_ids_stay():
    rows = [
        create_old_event(*event)
        for event in [("processed", 32), ("ignored", 32), ("processed", 20), ("parked", 90), ("received", 90)]
    ]

    assert purge() == NOTHING | {"stripe_events": 2}
    assert purge() == NOTHING

    assert [bool(StripeEvent.objects.get(pk=row.pk).body) for row in rows] == [False, False, True, True, True]


def test_old_events_tasks_and_sessions_go():
    for name, days, folded in [("old", 32, True), ("young", 20, True), ("not folded", 90, False)]:
        EmailEvent.objects.create(
            key=name,
            name=name,
            happened_at=days_ago(days),
            received_at=days_ago(days),
            folded_at=days_ago(days) if folded else None,
        )
    for name, days in [("old", 16), ("young", 12)]:
        Success.objects.create(
            id=name,
            name=name,
            func="csf.tasks.canary",
            started=days_ago(days),
            stopped=days_ago(days),
            success=True,
        )
    for name, days in [("old", 2), ("valid", -2)]:
        Session.objects.create(session_key=name, session_data="", expire_date=days_ago(days))

    assert purge() == NOTHING | {"email_events": 1, "tasks": 1, "sessions": 1}
    assert purge() == NOTHING

    assert set(EmailEvent.objects.values_list("name", flat=True)) == {"young", "not folded"}
    assert [row.id for row in Success.objects.all()] == ["young"]
    assert [row.session_key for row in Session.objects.all()] == ["valid"]


def test_every_status_of_an_email_is_final_or_not():
    assert FINAL | UNFINISHED | {EmailStatus.UNKNOWN} == set(EmailStatus)
    assert not FINAL & (UNFINISHED | {EmailStatus.UNKNOWN})


def test_texts_of_final_emails_go_and_the_order_they_belong_to_stays():
    for number, status in enumerate(EmailStatus):
        create_email(status, 92, number)
    create_email("sent", 80, 100)
    create_email("failed", 92, 101, subject="", html="", text="", context={"first_name": "Pat"})

    assert purge() == NOTHING | {"emails": len(FINAL) + 1}
    assert purge() == NOTHING

    blank = EmailMessage.objects.filter(subject="", html="", text="")
    assert blank.filter(context={"order_number": "K7M2P9QX"}).count() == len(FINAL)
    assert blank.get(fact_id=101).context == {}
    kept = EmailMessage.objects.exclude(subject="")
    assert set(kept.values_list("status", flat=True)) == {"queued", "sending", "unknown", "sent"}
    assert {row.context["first_name"] for row in kept} == {"Pat"}
    assert set(EmailMessage.objects.values_list("to", flat=True)) == {"pat@example.org"}


def test_what_the_provider_said_of_old_posts_goes_and_why_an_email_failed_stays():
    email = create_email("failed", 92, 1, error="no such address", subject="", html="", text="", context={})
    for days in (92, 80):
        attempt = EmailAttempt.objects.create(message=email, outcome="refused", error=f"{days} days ago")
        EmailAttempt.objects.filter(pk=attempt.pk).update(posted_at=days_ago(days))

    assert purge() == NOTHING | {"email_errors": 1}
    assert purge() == NOTHING

    assert sorted(EmailAttempt.objects.values_list("outcome", "error")) == [
        ("refused", ""),
        ("refused", "80 days ago"),
    ]
    assert EmailMessage.objects.get().error == "no such address"


def test_the_command_says_one_line_and_refuses_the_future(capsys):
    create_old_cart(order_days=32)
    today = local_date(timezone.now())

    call_command("purge", "--dry-run")
    call_command("purge", "--date", str(today - timedelta(days=10)))
    call_command("purge")

    counts = "carts={} " + " ".join(f"{name}=0" for name in list(NOTHING)[1:])
    assert capsys.readouterr().out.splitlines() == [
        f"would purge {today}: {counts.format(1)}",
        f"purge {today - timedelta(days=10)}: {counts.format(0)}",
        f"purge {today}: {counts.format(1)}",
    ]
    with pytest.raises(CommandError, match="in the future"):
        call_command("purge", "--date", str(today + timedelta(days=1)))
