"""What the database breaks off in favour of another is run again; a page that waits too long says so."""

import os
import subprocess
import sys

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.holds import end_unpaid_order
from billing.checkout.place_order import place_order
from billing.ledger import settle
from csf.database.retry import again_after_deadlock
from csf.state import Stale
from notifications.models import EmailMessage
from orders.models import Order, OrderStatus
from tests.conftest import ADDRESS, DATABASE, ROOT
from tests.factories import create_cart, create_order

DEADLOCK, SERIALIZATION, LOCK_TIMEOUT = "40P01", "40001", "55P03"


def break_off(sqlstate):
    """The error itself, from PostgreSQL."""
    with connection.cursor() as cursor:
        cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{sqlstate}'; END $$")


def troubled(monkeypatch, module, name, *, times, sqlstate=DEADLOCK):
    """Let a function of the module do its work and then be broken off, so many times."""
    real, left = getattr(module, name), [times]

    def function(*args, **kwargs):
        result = real(*args, **kwargs)
        if left[0]:
            left[0] -= 1
            break_off(sqlstate)
        return result

    monkeypatch.setattr(module, name, function)


@pytest.mark.parametrize("sqlstate", [DEADLOCK, SERIALIZATION])
def test_an_order_is_placed_once_though_it_was_broken_off_twice(committed_db, monkeypatch, sqlstate):
    order = create_cart()
    troubled(monkeypatch, Order, "place", times=2, sqlstate=sqlstate)

    place_order(order=order, by=order.household.guardians.get(), now=timezone.now())

    assert Order.objects.get().status == order.status == "placed"
    assert order.transitions.count() == EmailMessage.objects.count() == order.installments.count() == 1


def test_the_third_time_it_is_raised_and_nothing_is_left(committed_db, monkeypatch):
    order = create_cart()
    troubled(monkeypatch, Order, "place", times=3)

    with pytest.raises(OperationalError, match="injected"):
        place_order(order=order, by=order.household.guardians.get(), now=timezone.now())

    assert (Order.objects.get().status, EmailMessage.objects.count()) == ("draft", 0)


def test_inside_another_transaction_nothing_is_repeated(committed_db):
    runs = []

    @again_after_deadlock
    @transaction.atomic
    def work():
        runs.append(1)
        break_off(DEADLOCK)

    with pytest.raises(OperationalError), transaction.atomic():
        work()
    assert len(runs) == 1
    with pytest.raises(OperationalError):
        work()
    assert len(runs) == 4


@pytest.mark.parametrize("sqlstate", [LOCK_TIMEOUT, "57014"])
def test_other_errors_are_not_repeated(committed_db, sqlstate):
    runs = []

    @again_after_deadlock
    def work():
        runs.append(1)
        break_off(sqlstate)

    with pytest.raises(OperationalError):
        work()
    assert len(runs) == 1


def test_expiry_cancelling_and_settling_are_repeated(committed_db, monkeypatch):
    unpaid = create_order()
    troubled(monkeypatch, Order, "end", times=2)
    end_unpaid_order(order=unpaid, to=OrderStatus.EXPIRED, reason="test")
    assert Order.objects.get().status == "expired"

    free = create_order()
    free.confirm(reason="test")
    enrollment = free.items.get().enrollment
    options = {"by": free.household.guardians.get(), "reason": "test", "now": timezone.now()}
    troubled(monkeypatch, Order, "end", times=2)
    cancel_enrollment(enrollment=enrollment, **options)
    assert sorted(Order.objects.values_list("status", flat=True)) == ["cancelled", "expired"]
    with pytest.raises(Stale):
        cancel_enrollment(enrollment=enrollment, **options)

    troubled(monkeypatch, settle, "_locked_attempt", times=2)
    assert settle.settle_payment_intent({"status": "succeeded", "metadata": {}, "created": 0}) is None
    troubled(monkeypatch, settle, "_locked_attempt", times=2)
    settle.settle_checkout_session({"status": "expired", "metadata": {}})
    troubled(monkeypatch, settle, "locked_installment", times=2)
    assert settle.settle_invoice({"status": "paid", "metadata": {}, "created": 0}) is None


def parent_of(order):
    client = Client(raise_request_exception=False)
    client.force_login(order.household.guardians.get())
    return client


def test_a_page_that_waits_too_long_asks_to_try_again_and_the_cart_is_kept(committed_db):
    order = create_cart()
    client = parent_of(order)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")
    with psycopg.connect(f"{ADDRESS}/{DATABASE}") as other:
        other.execute("SELECT 1 FROM enrollments_household FOR UPDATE")
        answer = client.post(reverse("checkout"), {"order": order.public_id})

    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert "We are busy right now" in answer.content.decode()
    order.refresh_from_db()
    assert (order.status, order.items.count()) == ("draft", 1)
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")


@pytest.mark.django_db
def test_other_errors_of_a_page_stay_errors(monkeypatch):
    order = create_cart()
    monkeypatch.setattr("billing.pages.orders.place_order", lambda **kwargs: 1 / 0)

    answer = parent_of(order).post(reverse("checkout"), {"order": order.public_id})

    assert answer.status_code == 500


def test_only_a_process_that_is_told_so_has_a_lock_timeout(django_db_setup):
    script = (
        "import django; django.setup(); from django.db import connection; c = connection.cursor(); "
        "c.execute('SHOW lock_timeout'); print(c.fetchone()[0])"
    )

    def shown(**environment):
        environment = os.environ | {"DJANGO_SETTINGS_MODULE": "csf.settings"} | environment
        command = [sys.executable, "-W", "ignore", "-c", script]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert (shown(), shown(DB_LOCK_TIMEOUT_MS="3000")) == ("0", "3s")
