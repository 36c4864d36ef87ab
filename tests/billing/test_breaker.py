"""While Stripe hangs: how long a page waits, and that the others do not wait at all."""

import pytest

from billing import breaker, gateway
from billing.asking import StripeUnavailable
from billing.models import StripeEvent
from csf.kept import Ambiguous, KeptConnection
from tests.factories import create_order
from tests.pages import parent_of
from tests.shop import open_page
from tests.stripe_events import deliver, event_body, work_off_inbox

ANSWER = KeptConnection.ask


@pytest.fixture
def hangs(monkeypatch):
    """The seconds that each request waits for nothing."""
    monkeypatch.setattr(breaker, "OPEN_AFTER", 5)
    waits = []

    def hang(self, method, url, *, body, headers, timeout_s):
        waits.append(sum(timeout_s))
        raise Ambiguous("timed out")

    monkeypatch.setattr(KeptConnection, "ask", hang)
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

    breaker._Here.next_probe_at = 1.0  # twenty seconds later
    press(second_order)
    assert len(hangs) == 6  # one probe, and the page did not look further
    press(second_order)
    assert len(hangs) == 6

    monkeypatch.setattr(KeptConnection, "ask", ANSWER)
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
    with pytest.raises(gateway.Refused):
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
