import socket
import time
from itertools import islice

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from demo.standins.stripe.webhooks.deliveries import FAST_PAUSES, Deliveries, pauses
from tests.demo.stripe_shop import Receiver, Shop, receiver
from tests.waiting import wait_until

PI = "payment_intent.*"


@pytest.fixture
def hook():
    with receiver() as server:
        yield server


@pytest.fixture
def shop(hook: Receiver):
    with StripeServer() as server:
        shop = Shop(server)
        shop.listen(hook, ["payment_intent.payment_failed", "payment_intent.succeeded"])
        yield shop


def fault(shop: Shop, kind: str, **more: object) -> None:
    shop.server.control("POST", "/_faults", [{"kind": kind, "type": PI, **more}])


def deliveries(shop: Shop) -> list[tuple[str, str, list[int | None]]]:
    return [
        (event["type"], delivery["state"], [attempt["status"] for attempt in delivery["attempts"]])
        for event in shop.server.books()["events"]
        for delivery in event["deliveries"].values()
    ]


def settled(shop: Shop) -> list[tuple[str, str, list[int | None]]]:
    wait_until(lambda: all(state != "pending" for _, state, _ in deliveries(shop)))
    return deliveries(shop)


def test_retries_until_taken(shop: Shop, hook: Receiver):
    hook.statuses = [302] + [500] * 100
    shop.pay(shop.session().id)
    event = shop.v.events.list({"types": ["payment_intent.succeeded"]}).data[0]
    assert event.pending_webhooks == 1
    assert shop.v.events.list({"delivery_success": False}).data[0].id == event.id
    wait_until(lambda: len(hook.statuses) < 100)
    hook.statuses.clear()
    [(kind, state, [first, *others, last])] = settled(shop)
    assert (kind, state, first, set(others), last) == (event.type, "delivered", 302, {500}, 200)
    assert [e["id"] for e in hook.events] == [event.id]
    assert shop.v.events.retrieve(event.id).pending_webhooks == 0
    assert shop.v.events.list({"delivery_success": False}).data == []


def test_deaf_endpoint_delays_no_answer(shop: Shop):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/none"
        shop.v.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
        for n in range(3):
            shop.customer(f"cus:{n}")
        assert deliveries(shop) == [("customer.created", "pending", [])] * 3


def test_hold_and_release(shop: Shop, hook: Receiver):
    fault(shop, "hold")
    for n in range(4):
        shop.pay(shop.session(f"co:{n}").id)
    assert [state for _, state, _ in deliveries(shop)] == ["held"] * 4
    shop.server.control("DELETE", "/_faults")
    assert shop.server.control("POST", "/_webhooks/release", {"seed": 3}) == {"released": 4}
    made = [event["id"] for event in shop.server.books()["events"] if event["deliveries"]]
    got = [event["id"] for event in hook.wait_for(4)]
    assert sorted(got) == sorted(made)
    assert got != made


def test_drop_and_resend(shop: Shop, hook: Receiver):
    fault(shop, "drop")
    shop.pay(shop.session().id)
    assert deliveries(shop) == [("payment_intent.succeeded", "dropped", [])]
    lost = shop.v.events.list({"delivery_success": False}).data
    assert [event.type for event in lost] == ["payment_intent.succeeded"]
    assert shop.server.control("POST", f"/_events/{lost[0].id}/resend") == {"deliveries": 1}
    assert [event["id"] for event in hook.wait_for(1)] == [lost[0].id]


def test_duplicate(shop: Shop, hook: Receiver):
    fault(shop, "duplicate", copies=3)
    shop.pay(shop.session().id)
    assert len({event["id"] for event in hook.wait_for(3)}) == 1


def test_stale_arrives_after_the_newer_one(shop: Shop, hook: Receiver):
    shop.server.control("POST", "/_faults", [{"kind": "stale", "type": "payment_intent.payment_failed"}])
    session = shop.session()
    shop.pay(session.id, "4000000000000002")
    assert [state for _, state, _ in deliveries(shop)] == ["stale"]
    shop.pay(session.id)
    statuses = [event["data"]["object"]["status"] for event in hook.wait_for(2)]
    assert statuses == ["succeeded", "requires_payment_method"]


def test_delay_and_shuffle(shop: Shop, hook: Receiver, monkeypatch: pytest.MonkeyPatch):
    pauses, deliver = [], Deliveries._deliver

    def note(self: Deliveries, event: dict, endpoint_id: str, pause: float = 0.0):
        pauses.append(pause)
        return deliver(self, event, endpoint_id, pause)

    monkeypatch.setattr(Deliveries, "_deliver", note)
    fault(shop, "delay", seconds=0.6, times=1)
    fault(shop, "shuffle", seconds=0.15, seed=1)
    late, *others = [shop.session(f"co:{n}").id for n in range(6)]
    started = time.monotonic()
    shop.pay(late)
    hook.wait_for(1)
    assert time.monotonic() - started >= 0.6
    for session in others:
        shop.pay(session)
    intents = [shop.v.checkout.sessions.retrieve(session).payment_intent for session in (late, *others)]
    got = [event["data"]["object"]["id"] for event in hook.wait_for(6)]
    assert sorted(got) == sorted(intents)
    delay, *shuffled = pauses
    assert delay == 0.6
    assert 0 <= min(shuffled) < max(shuffled) <= 0.15
    assert shuffled != sorted(shuffled)


def test_foreign_events_come_along(shop: Shop, hook: Receiver):
    fault(shop, "foreign", times=1)
    shop.pay(shop.session().id)
    events = hook.wait_for(4)
    assert sorted((e["livemode"], "charges" in e["data"]["object"]) for e in events) == [
        (False, False),
        (False, False),
        (False, True),
        (True, False),
    ]
    assert len(shop.v.events.list({"types": ["payment_intent.succeeded"]}).data) == 1


def test_before_answer(shop: Shop, hook: Receiver):
    fault(shop, "before_answer")
    for n in range(5):
        shop.pay(shop.session(f"co:{n}").id)
        assert len(hook.events) == n + 1


def test_injected_event_is_signed_and_not_listed(shop: Shop, hook: Receiver):
    given = {
        "type": "payment_intent.succeeded",
        "object": {"id": "pi_x"},
        "livemode": True,
        "account": "acct_x",
    }
    made = shop.server.control("POST", "/_events", given)
    event = hook.wait_for(1)[0]
    assert (event["id"], event["livemode"], event["account"]) == (made["id"], True, "acct_x")
    assert event["data"] == {"object": {"id": "pi_x"}}
    assert shop.v.events.list({"types": ["payment_intent.succeeded"]}).data == []


def test_endpoints(shop: Shop, hook: Receiver):
    endpoints = shop.v.webhook_endpoints
    endpoint = endpoints.list().data[0]
    assert "secret" not in endpoint.to_dict()
    endpoints.update(endpoint.id, {"disabled": True})
    shop.pay(shop.session("co:1").id)
    assert deliveries(shop) == []
    endpoints.update(endpoint.id, {"disabled": False, "enabled_events": ["checkout.session.completed"]})
    shop.pay(shop.session("co:2").id)
    assert [event["type"] for event in hook.wait_for(1)] == ["checkout.session.completed"]
    hook.statuses = [500] * 100
    shop.pay(shop.session("co:3").id)
    assert endpoints.delete(endpoint.id).deleted
    assert [state for _, state, _ in settled(shop)] == ["delivered", "cancelled"]
    with pytest.raises(stripe.InvalidRequestError):
        endpoints.retrieve(endpoint.id)


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"enabled_events": ["payment_intent.paid"]}, "enabled_events[0]"),
        ({"api_version": "2026-08-26.dahlia"}, "api_version"),
        ({"url": "example.org/hook"}, "url"),
    ],
)
def test_an_endpoint_cannot_be_changed_to_this(shop: Shop, params: dict, param: str):
    endpoint = shop.v.webhook_endpoints.list().data[0]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v.webhook_endpoints.update(endpoint.id, params)
    assert refused.value.param == param
    assert shop.v.webhook_endpoints.list().data[0] == endpoint


def test_an_account_has_no_more_than_sixteen_endpoints(shop: Shop):
    params = {"url": "http://127.0.0.1:9/none", "enabled_events": ["*"]}
    for _ in range(15):
        shop.v.webhook_endpoints.create(params)
    with pytest.raises(stripe.InvalidRequestError, match="maximum of 16"):
        shop.v.webhook_endpoints.create(params)


def test_reset(shop: Shop, hook: Receiver):
    shop.pay(shop.session().id)
    hook.wait_for(1)
    shop.server.control("POST", "/_reset", {"keep_endpoints": True})
    assert (shop.v.customers.list().data, len(shop.v.webhook_endpoints.list().data)) == ([], 1)
    shop.pay(shop.session().id)
    hook.wait_for(2)
    shop.server.control("POST", "/_reset")
    assert shop.v.webhook_endpoints.list().data == []
    assert shop.server.books()["posts"] == []


def test_buttons_of_the_index_page_lead_back_to_it(shop: Shop, hook: Receiver):
    shop.pay(shop.session().id)
    event = hook.wait_for(1)[0]
    headers = {"Accept": "text/html"}
    for path, form in (
        (f"/_events/{event['id']}/resend", {}),
        ("/_clock", {"now": ""}),
        ("/_clock", {"advance": "3600"}),
    ):
        page = requests.post(shop.server.url + path, data=form, headers=headers, timeout=60)
        assert (page.status_code, page.url) == (200, f"{shop.server.url}/")
    hook.wait_for(2)
    assert shop.now() - int(time.time()) >= 3599


def test_pauses_grow_to_a_limit():
    assert list(islice(pauses(*FAST_PAUSES), 7)) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
