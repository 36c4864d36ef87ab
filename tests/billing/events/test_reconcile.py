"""`manage.py reconcile_stripe`: what no webhook reported is fetched, and pages that are over are settled."""

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import ChargeAttempt, Payment, StripeEvent
from tests.factories import create_course, create_order
from tests.shop import NO_MONEY, PAID, open_page, outcome
from tests.stripe_events import work_off_inbox


def two_class_order():
    return create_order(courses=[create_course(capacity=1), create_course()])


def test_lost_webhooks_are_healed_by_reconciling(shop, capsys):
    paid, declined = two_class_order(), two_class_order()
    shop.pay(open_page(paid))
    shop.pay(open_page(declined), NO_MONEY)

    call_command("reconcile_stripe")
    call_command("reconcile_stripe")

    assert capsys.readouterr().out.splitlines() == ["events=3 pages=0", "events=0 pages=0"]
    work_off_inbox()
    assert outcome(paid)["order"] == "confirmed"
    assert outcome(declined)["attempts"] == ["declined"]
    assert {event.status for event in StripeEvent.objects.all()} == {"processed"}
    assert Payment.objects.count() == 1


def test_reconciling_settles_pages_that_are_over(shop, capsys):
    order = two_class_order()
    shop.pay(open_page(order))
    ChargeAttempt.objects.update(session_expires_at=timezone.now() - timedelta(hours=1))

    call_command("reconcile_stripe", hours=1)

    assert "pages=1" in capsys.readouterr().out
    assert outcome(order) == PAID


@pytest.mark.parametrize("hours", [0, -1, 721])
def test_reconciling_refuses_a_time_that_stripe_does_not_keep(db, hours):
    with pytest.raises(CommandError, match="30 days"):
        call_command("reconcile_stripe", hours=hours)


def test_reconciling_says_when_stripe_does_not_answer(shop):
    shop.server.control("POST", "/_faults", [{"path": "/v1/events", "kind": "error_before"}])

    with pytest.raises(CommandError, match="Could not fetch events"):
        call_command("reconcile_stripe")
