"""While Stripe hangs: how long a page waits, and that the others do not wait at all."""

import pytest
from django.utils import timezone

from billing.events.reconcile import pull_events
from billing.models import StripeEvent
from billing.stripe import breaker, gateway
from billing.stripe.page_calls import StripeUnavailable
from billing.task_kinds import MoneyTask
from csf.http_client import Ambiguous, HttpClient
from csf.models import StaffTask
from csf.staff.tasks import close_settled
from notifications.alerts.rules import symptoms
from tests.factories import create_order
from tests.pages import parent_of
from tests.shop import open_page
from tests.stripe_events import deliver, event_body, work_off_inbox
from tests.waiting import PATIENCE_S

ANSWER = HttpClient.ask


@pytest.fixture
def hangs(monkeypatch):
    """The seconds that each request waits for nothing."""
    monkeypatch.setattr(breaker, "OPEN_AFTER", 5)
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", PATIENCE_S)  # so that none comes before the test lets it
    waits = []

    def hang(self, method, url, *, body, headers, timeout_s):
        waits.append(sum(timeout_s))
        raise Ambiguous("timed out")

    monkeypatch.setattr(HttpClient, "ask", hang)
    yield waits
    breaker.close()


def press(order):
    with pytest.raises(StripeUnavailable):
        open_page(order)


@pytest.fixture
def second_order(shop):
    """Of a family whose customer Stripe knows."""
    first = create_order()
    open_page(first)
    return create_order(household=first.household)


def test_a_page_waits_for_stripe_as_long_as_the_notes_say(second_order, hangs):
    presses = []
    for _ in range(2):
        before = len(hangs)
        press(second_order)
        presses.append(sum(hangs[before:]))

    assert presses[0] <= 5
    assert presses[1] <= 10  # by the test's clock no time passes: really both calls share five seconds


def test_a_page_of_several_calls_shares_its_five_seconds(second_order, hangs, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(gateway.time, "monotonic", lambda: clock[0] + sum(hangs))

    for _ in range(3):
        before = sum(hangs)
        press(second_order)
        assert sum(hangs) - before <= 5


def test_any_page_that_waits_for_stripe_waits_five_seconds(second_order, hangs):
    """Giving up an order closes its payment page first."""
    first = second_order.household.orders.exclude(pk=second_order.pk).get()

    parent_of(first.household).post(f"{first.get_absolute_url()}cancel/")

    assert 0 < sum(hangs) <= 5


def test_after_a_few_failures_nobody_waits_and_the_first_answer_ends_that(second_order, hangs, monkeypatch):
    while len(hangs) < 5:
        press(second_order)
    until = breaker._Here.next_probe_at
    for _ in range(10):
        press(second_order)
    assert (len(hangs), breaker._Here.next_probe_at) == (5, until)

    breaker._Here.next_probe_at = 1.0  # its time has come
    press(second_order)
    assert len(hangs) == 6  # one probe, and the page did not look further
    press(second_order)
    assert len(hangs) == 6

    monkeypatch.setattr(HttpClient, "ask", ANSWER)
    breaker._Here.next_probe_at = 1.0
    assert open_page(second_order).startswith("http")
    assert not breaker.must_not_ask()


def test_another_process_needs_one_failure_to_know(second_order, hangs):
    while len(hangs) < 5:
        press(second_order)
    breaker.close()  # what this process knows is what a fresh one knows

    press(second_order)
    assert len(hangs) == 6
    press(second_order)
    assert len(hangs) == 6


def test_one_answer_between_failures_keeps_it_closed(second_order, hangs):
    for _ in range(20):
        breaker.not_answered()
        breaker.answered()

    assert not breaker.must_not_ask()


def test_a_refusal_is_an_answer(second_order, monkeypatch):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 2)
    breaker.not_answered()
    with pytest.raises(gateway.StripeRefused):
        gateway.retrieve_invoice("in_nothing")
    breaker.not_answered()

    assert not breaker.must_not_ask()
    breaker.close()


def test_the_events_of_the_inbox_do_not_wait_one_after_the_other(second_order, hangs):
    for number in range(20):
        assert deliver(event_body(id=f"evt_{number}")) == 200

    work_off_inbox()

    assert len(hangs) <= 2 * 5
    assert set(StripeEvent.objects.values_list("status", "tries")) == {("received", 0)}


# --- When Stripe answers, but cannot or will not work -------------------------------------------------------


def strike(shop, **fault):
    shop.server.control("POST", "/_faults", [fault])


def ask():
    with pytest.raises(gateway.OutcomeUnknown):
        gateway.retrieve_invoice("in_nothing")


@pytest.mark.parametrize("kind", ["error_before", "rate_limit"])
def test_errors_of_stripe_and_too_many_calls_open_it_too(shop, monkeypatch, kind):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 3)
    strike(shop, kind=kind)
    for _ in range(3):
        assert not breaker.must_not_ask()
        ask()
    assert breaker.must_not_ask()

    shop.server.control("DELETE", "/_faults")
    breaker._Here.next_probe_at = 1.0
    with pytest.raises(gateway.StripeRefused):
        gateway.retrieve_invoice("in_nothing")
    assert not breaker.must_not_ask()


@pytest.mark.parametrize("kind", ["conflict", "revoked_key"])
def test_what_is_about_one_object_or_our_key_does_not_open_it(shop, monkeypatch, kind):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 1)
    strike(shop, kind=kind)

    ask()

    assert not breaker.must_not_ask()


def test_an_error_that_is_repeated_for_its_key_counts_once(shop, monkeypatch):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 2)
    strike(shop, kind="error_after", times=1)

    for _ in range(4):
        with pytest.raises(gateway.OutcomeUnknown):
            gateway.create_customer(email="pat@example.org", name="Pat", metadata={}, key="k")

    assert not breaker.must_not_ask()


@pytest.mark.django_db
def test_a_key_that_stripe_refuses_is_one_task_and_an_alert_until_it_is_accepted(shop, settings):
    key = settings.STRIPE_SECRET_KEY
    strike(shop, kind="revoked_key")
    ask()
    ask()

    task = StaffTask.objects.open().get()
    assert task.kind == MoneyTask.STRIPE_KEY_REFUSED
    assert "the key sk_test_...1111 (STRIPE_TEST_SECRET_KEY): Invalid API Key provided" in task.detail
    assert key not in task.detail + task.subject
    assert ("stripe_key_refused", "page") in [(sign.name, sign.level) for sign in symptoms()]
    assert close_settled() == 0

    settings.STRIPE_SECRET_KEY = "sk_test_" + "2" * 24
    assert close_settled() == 1

    settings.STRIPE_SECRET_KEY = key
    ask()
    shop.server.control("DELETE", "/_faults")
    pull_events(since=timezone.now())
    assert close_settled() == 1
