"""The webhook view: what it stores and what it answers, for good, bad and hostile requests."""

import json
import time

import pytest
from django.test import Client
from djstripe.models import WebhookEventTrigger

from billing.models import StripeEvent
from tests.stripe_events import PATH, create_endpoint, deliver, event_body, signature

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def endpoint():
    return create_endpoint()


def test_a_new_event_is_stored_once_and_a_worker_is_woken(django_assert_num_queries):
    assert [deliver(event_body()) for _ in range(10)] == [200] * 10

    stored = StripeEvent.objects.get()
    assert (stored.stripe_id, stored.type, stored.livemode, stored.status, stored.tries) == (
        "evt_1",
        "payment_intent.succeeded",
        False,
        "received",
        0,
    )
    assert json.loads(stored.body)["data"]["object"]["id"] == "pi_1"


def test_a_new_event_costs_three_statements(django_assert_max_num_queries):
    with django_assert_max_num_queries(5):  # endpoint, savepoint twice, event, task
        deliver(event_body())


GOOD = json.dumps(event_body()).encode()
THIN = json.dumps(
    {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v1.invoice.paid",
        "livemode": False,
        "related_object": {"id": "in_1", "type": "invoice", "url": "/v1/invoices/in_1"},
    }
).encode()


@pytest.mark.parametrize(
    ("body", "header", "status"),
    [
        pytest.param(GOOD, None, 200, id="good"),
        pytest.param(
            json.dumps(event_body(data={"object": {"x": "y" * 400_000}})).encode(), None, 200, id="400 KB"
        ),
        pytest.param(
            json.dumps(event_body(data={"object": {"x": "\0"}})).encode(), None, 200, id="escaped NUL"
        ),
        pytest.param(GOOD, "", 400, id="no signature"),
        pytest.param(GOOD, signature(GOOD, secret="whsec_other"), 400, id="another secret"),
        pytest.param(GOOD + b" ", signature(GOOD), 400, id="altered body"),
        pytest.param(GOOD[:-5], signature(GOOD), 400, id="cut body"),
        pytest.param(GOOD, "t=1,v1=\xe9", 400, id="not ASCII in the header"),
        pytest.param(GOOD, "t=abc,v1=def", 400, id="no time in the header"),
        pytest.param(
            GOOD, signature(GOOD, at=1) + f",t={int(time.time())}", 400, id="two times in the header"
        ),
        pytest.param(b"[]", None, 400, id="an array"),
        pytest.param(b"", None, 400, id="empty"),
        pytest.param(json.dumps({"id": "evt_1"}).encode(), None, 400, id="no type"),
        pytest.param(json.dumps(event_body(data=None)).encode(), None, 400, id="data null"),
        pytest.param(THIN, None, 400, id="a thin event"),
        pytest.param(json.dumps(event_body(id=7)).encode(), None, 400, id="id a number"),
        pytest.param(json.dumps(event_body(livemode="false")).encode(), None, 400, id="livemode a string"),
        pytest.param(json.dumps(event_body(type="x" * 300)).encode(), None, 400, id="endless type"),
        pytest.param(json.dumps(event_body(id="evt_\0")).encode(), None, 400, id="NUL in the id"),
        pytest.param(b'{"id": "evt_1\x00"}', None, 400, id="raw NUL"),
        pytest.param(b"[" * 200_000, None, 400, id="nested"),
        pytest.param(b"9" * 5_000, None, 400, id="endless number"),
        pytest.param(
            json.dumps(event_body(data={"object": {"x": "y" * 600_000}})).encode(), None, 413, id="600 KB"
        ),
        pytest.param(b"x" * 3_000_000, "", 400, id="3 MB"),
    ],
)
def test_only_signed_events_leave_a_row(body, header, status):
    assert deliver(body, header=header) == status

    assert StripeEvent.objects.count() == (1 if status == 200 else 0)
    assert not WebhookEventTrigger.objects.exists()


@pytest.mark.parametrize(("age_s", "status"), [(270, 200), (330, 400), (-200, 200), (-3600, 400)])
def test_a_signature_counts_for_five_minutes(age_s, status):
    assert deliver(GOOD, header=signature(GOOD, at=time.time() - age_s)) == status


def test_a_body_that_is_not_utf8_is_refused():
    body = b'{"id": "evt_1", "x": "\xff"}'

    assert deliver(body, header=signature(body)) == 400
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (PATH, "GET", 405),
        ("/stripe/webhook/22222222-2222-4222-8222-222222222222/", "POST", 404),
        ("/stripe/webhook/nonsense/", "POST", 404),
    ],
)
def test_other_addresses_and_methods(path, method, status):
    client = Client(raise_request_exception=False)

    answer = client.generic(method, path, b"{}", content_type="application/json")

    assert answer.status_code == status


@pytest.mark.parametrize("header", ["X-Forwarded-For", "X-Djstripe-Webhook-Secret", "X-Forwarded-Proto"])
def test_hostile_headers_change_nothing(header):
    body = json.dumps(event_body()).encode()
    client = Client(raise_request_exception=False, headers={header: "unknown\0"})

    assert deliver(body, client=client) == 200
    assert deliver(body, header="", client=client) == 400


def test_when_the_queue_fails_the_event_is_kept(monkeypatch, django_capture_on_commit_callbacks):
    monkeypatch.setattr("billing.events.webhooks.enqueue_once", lambda *args: 1 / 0)

    with pytest.raises(ZeroDivisionError), django_capture_on_commit_callbacks(execute=True):
        assert deliver(event_body()) == 200
    assert StripeEvent.objects.due().exists()  # so the sweep finds it
