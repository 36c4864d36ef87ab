"""Workers while Stripe does not answer, and when it does again: nothing stops the rest, nothing is lost."""

import os
import time
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import psycopg
import pytest
import stripe
from django.utils import timezone
from django_q.models import OrmQ

from billing import tasks
from billing.changes import cancellation
from billing.checkout import holds
from billing.events import inbox, reconcile
from billing.ledger import refund_sending
from billing.models import Cancellation, Refund, StripeEvent
from billing.stripe import breaker, gateway
from billing.tasks import process_event, process_events, sweep_events
from csf.jobs import time_budget
from csf.jobs.time_budget import within
from csf.models import Breaker, StaffTask
from tests.billing.refunds import approved, paid
from tests.factories import create_order
from tests.shop import open_page
from tests.stripe_events import deliver

pytestmark = pytest.mark.django_db
EVENT = (
    '{"id": "evt_%d", "created": 1790000000, "type": "payment_intent.succeeded",'
    ' "data": {"object": {"id": "pi_1"}}}'
)


def events(number):
    StripeEvent.objects.bulk_create(
        StripeEvent(stripe_id=f"evt_{n}", type="payment_intent.succeeded", livemode=False, body=EVENT % n)
        for n in range(number)
    )


def queued():
    return [row.func() for row in OrmQ.objects.all()]


@pytest.fixture
def asked(monkeypatch):
    """The events that were asked about at a Stripe that hangs: 20 s each in reality."""
    ids = []
    monkeypatch.setattr(breaker, "OPEN_AFTER", 3)

    def hang(data, api_key=None):
        ids.append(data["id"])
        raise stripe.APIConnectionError("timed out")

    monkeypatch.setattr(inbox.Event, "process", hang)
    return ids


def a_minute_passes():
    Breaker.objects.update(open_until=timezone.now() - timedelta(seconds=1))
    StripeEvent.objects.filter(status="received").update(next_try_at=timezone.now() - timedelta(seconds=1))
    Refund.objects.filter(next_look_at__lte=timezone.now() + timedelta(minutes=1)).update(
        next_look_at=timezone.now()
    )


def test_while_stripe_hangs_not_every_event_waits_for_its_timeout(asked):
    events(60)
    for stripe_id in StripeEvent.objects.values_list("stripe_id", flat=True):
        process_event(stripe_id)
    assert len(asked) == 3

    for minute in range(1, 4):
        a_minute_passes()
        process_events()
        assert len(asked) == 3 + minute  # one probe a minute

    assert set(StripeEvent.objects.values_list("status", "tries")) == {("received", 0)}


def test_when_stripe_answers_again_all_that_waits_is_processed(asked, shop, monkeypatch):
    order = create_order()
    shop.pay(open_page(order))
    events(30)
    for stripe_id in StripeEvent.objects.values_list("stripe_id", flat=True):
        process_event(stripe_id)
    monkeypatch.undo()
    monkeypatch.setattr(inbox.Event, "process", lambda data, api_key=None: None)
    for event in shop.events("payment_intent.succeeded"):
        assert deliver(event) == 200
    a_minute_passes()

    process_events()

    assert set(StripeEvent.objects.values_list("status", flat=True)) == {"processed"}
    assert Breaker.objects.get().failures == 0


def test_an_event_that_is_at_fault_itself_does_not_stop_the_others(monkeypatch):
    events(10)

    def fail(data, api_key=None):
        if int(data["id"][4:]) < 6:
            raise ValueError("a fault of the event")

    monkeypatch.setattr(inbox.Event, "process", fail)
    process_events()

    assert StripeEvent.objects.filter(status="processed").count() == 4
    assert StripeEvent.objects.filter(tries=1, status="received").count() == 6


def test_a_sweep_queues_no_second_task_for_what_waits_in_the_queue(asked):
    events(250)
    for _ in range(3):  # three minutes in which no worker gets there
        sweep_events()
    assert queued() == ["billing.tasks.process_events"]

    OrmQ.objects.all().delete()
    StripeEvent.objects.update(status="processed")
    sweep_events()
    assert queued() == []


def test_a_burst_of_events_leaves_half_of_the_workers_free(settings):
    events(5)
    settings.Q_WORKERS = 4
    with psycopg.connect(os.environ["DATABASE_URL"]) as others:
        for slot in range(2):
            others.execute("SELECT pg_advisory_lock(%s, %s)", [inbox.LOCK_CLASS, slot])

        process_events()

    assert (StripeEvent.objects.due().count(), queued()) == (5, [])


def test_one_worker_at_the_inbox_is_followed_by_another_only_if_some_is_left(monkeypatch):
    events(5)
    monkeypatch.setattr(inbox.Event, "process", lambda data, api_key=None: None)
    monkeypatch.setattr(inbox, "AT_ONCE", 3)

    process_events()
    assert (StripeEvent.objects.due().count(), queued()) == (2, ["billing.tasks.process_events"])
    process_events()
    assert (StripeEvent.objects.due().count(), len(queued())) == (0, 1)


# --- The time of a loop -------------------------------------------------------------------------------------


def test_while_stripe_hangs_refunds_wait_unasked_and_then_go_at_once(shop, monkeypatch):
    monkeypatch.setattr(breaker, "OPEN_AFTER", 3)
    payment = paid(shop)
    for _ in range(6):
        approved(payment, 100)
    shop.server.control("POST", "/_faults", [{"kind": "drop_before"}])
    OrmQ.objects.all().delete()
    for _ in range(5):
        tasks.refund()
        a_minute_passes()
    assert sorted(Refund.objects.values_list("tries", flat=True)) == [0, 0, 0, 1, 1, 5]
    assert (StaffTask.objects.filter(kind="refund_unknown").count(), queued()) == (0, [])

    shop.server.control("DELETE", "/_faults")
    tasks.refund()

    assert set(Refund.objects.values_list("status", flat=True)) == {"succeeded"}


@pytest.fixture
def slow(monkeypatch):
    """Each call takes 20 s."""
    calls = []
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: 20 * len(calls)))
    return calls


def test_the_refund_worker_ends_before_the_queue_kills_it(shop, monkeypatch, slow):
    payment = paid(shop)
    for _ in range(6):
        approved(payment, 100)
    monkeypatch.setattr(refund_sending, "run_refund", slow.append)

    tasks.refund()

    assert 20 * len(slow) < 60
    assert queued()[-1] == "billing.tasks.refund"  # for the rest


def test_every_loop_has_the_same_end(slow):
    assert [slow.append(n) or n for n in within(range(9))] == [0, 1]


@pytest.fixture
def in_a_task(monkeypatch):
    monkeypatch.setattr(time_budget._Task, "began_at", None)
    time_budget.begin_task()


def test_the_loops_of_a_task_share_its_time(slow, in_a_task):
    assert [slow.append(n) or n for n in within(range(9))] == [0, 1]
    assert list(within(range(9))) == []


def test_the_last_calls_of_a_task_wait_no_longer_than_it_lives(slow, in_a_task):
    assert gateway._timeout_s() == (10, 10)
    slow.append("a row that began in time")
    slow.append("and is slow")
    connect_s, answer_s = gateway._timeout_s()
    assert connect_s + answer_s == pytest.approx(time_budget.CALLS_S - 40)
    slow.append("and slower")
    with pytest.raises(breaker.NotAsked):
        gateway._timeout_s()


def test_cancellations_and_holds_end_in_time(shop, monkeypatch, slow):
    for _ in range(4):
        open_page(create_order())
    monkeypatch.setattr(holds, "end_unpaid_order", lambda **given: slow.append(given))
    holds.expire_holds(now=timezone.now() + timedelta(hours=3))
    assert len(slow) == 2

    slow.clear()
    rows = [Cancellation(pk=n) for n in range(9)]
    waiting = type("Rows", (list,), {"order_by": lambda rows, by: rows})
    monkeypatch.setattr(Cancellation.objects, "waiting", lambda: waiting(rows), raising=False)
    monkeypatch.setattr(cancellation, "settle_cancellation", lambda row: bool(slow.append(row) or True))
    assert cancellation.settle_waiting_cancellations() == 2


# --- The hourly pull ----------------------------------------------------------------------------------------


def pages(monkeypatch, *, number, broken_at=None):
    """So many pages of `invoice.paid` at Stripe, newest first; returns the cursors that were asked for."""
    cursors = []

    def page(path, *, types, starting_after="", **params):
        if "invoice.paid" not in types:
            return {"has_more": False, "data": []}
        n = int(starting_after.split("_")[1]) + 1 if starting_after else 0
        if n == broken_at:
            raise gateway.OutcomeUnknown("the task was ended here")
        cursors.append(starting_after)
        event = {"type": "invoice.paid", "livemode": False, "created": 1790000000}
        data = [event | {"id": f"evt_{n}_{k}"} for k in range(100)]
        data = data if n < number else []
        return {"has_more": n + 1 < number, "data": data}

    monkeypatch.setattr(gateway, "_get", page)
    return cursors


def test_what_the_hourly_pull_has_fetched_is_kept_if_it_is_broken_off(monkeypatch):
    pages(monkeypatch, number=100, broken_at=70)

    with pytest.raises(gateway.OutcomeUnknown):
        reconcile.pull_events(since=timezone.now() - timedelta(days=3))

    assert StripeEvent.objects.count() == 7000


def test_a_pull_goes_on_where_its_time_was_up(monkeypatch):
    cursors = pages(monkeypatch, number=4)
    each_page_takes_30_s = SimpleNamespace(monotonic=count(step=30).__next__, time=time.time)
    monkeypatch.setattr(reconcile, "time", each_page_takes_30_s)
    monkeypatch.setattr(time_budget, "time", each_page_takes_30_s)
    tasks.pull(0, "")
    for _ in range(4):
        row = OrmQ.objects.order_by("pk").last()
        row.delete()
        tasks.pull(*row.task["args"])

    assert StripeEvent.objects.count() == 400
    assert cursors == ["", "evt_0_99", "evt_1_99", "evt_2_99", "evt_3_99"]
    assert queued() == ["billing.tasks.process_events"]
