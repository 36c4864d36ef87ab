"""Idempotency keys, faults, the hook, and the check of requests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import KEY, Shop


@pytest.fixture
def shop():
    with StripeServer() as server:
        yield Shop(server)


def post(shop: Shop, path: str, body: str, key: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/x-www-form-urlencoded"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return requests.post(shop.server.url + path, data=body, headers=headers, timeout=60)


def customers(shop: Shop) -> int:
    return len(shop.v.customers.list({"limit": 100}).data)


def test_same_key_same_answer(shop: Shop):
    first = post(shop, "/v1/customers", "email=ada@example.org", "k1")
    again = post(shop, "/v1/customers", "email=ada@example.org", "k1")
    assert (again.status_code, again.text) == (200, first.text)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"] != again.headers["Request-Id"]
    assert customers(shop) == 1
    posts = shop.server.books()["posts"]
    assert [(p["path"], p["key"], p["status"], p["replayed"]) for p in posts] == [
        ("/v1/customers", "k1", 200, False),
        ("/v1/customers", "k1", 200, True),
    ]
    assert posts[0]["body_sha256"] == posts[1]["body_sha256"]


def test_same_key_other_request_is_an_error(shop: Shop):
    shop.customer("k1")
    for call in (
        lambda: shop.v.customers.create({"email": "eve@example.org"}, {"idempotency_key": "k1"}),
        lambda: shop.v.checkout.sessions.create(shop.session_params("cus_x"), {"idempotency_key": "k1"}),
    ):
        with pytest.raises(stripe.IdempotencyError):
            call()
    assert customers(shop) == 1


def test_key_is_forgotten_after_a_day(shop: Shop):
    first = shop.customer("k1").id
    shop.server.control("POST", "/_clock", {"advance": 24 * 3600 - 60})
    assert shop.customer("k1").id == first
    shop.server.control("POST", "/_clock", {"advance": 60})
    assert shop.customer("k1").id != first


def test_refused_request_stores_nothing(shop: Shop):
    assert post(shop, "/v1/customers", "emial=x", "k1").status_code == 400
    assert post(shop, "/v1/customers", "email=ada@example.org", "k1").status_code == 200


def test_wrong_state_is_stored(shop: Shop):
    session = shop.session()
    shop.pay(session.id)
    path = f"/v1/checkout/sessions/{session.id}/expire"
    assert post(shop, path, "", "exp:1").status_code == 400
    again = post(shop, path, "", "exp:1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (400, "true")


def test_twin_in_flight_gets_409(shop: Shop):
    shop.server.control("POST", "/_faults", [{"kind": "delay", "seconds": 0.3, "times": 1}])
    with ThreadPoolExecutor(2) as pool:
        twins = list(pool.map(lambda _: post(shop, "/v1/customers", "email=a@b.example", "k1"), range(2)))
    assert sorted(twin.status_code for twin in twins) == [200, 409]
    refused = max(twins, key=lambda twin: twin.status_code)
    assert refused.json()["error"]["code"] == "idempotency_key_in_use"
    assert refused.headers["Stripe-Should-Retry"] == "true"
    assert customers(shop) == 1


@pytest.mark.parametrize(
    ("fault", "error", "status_in_books", "made", "repeat_is"),
    [
        ({"kind": "drop_before"}, stripe.APIConnectionError, None, 0, "new"),
        ({"kind": "drop_after"}, stripe.APIConnectionError, None, 1, "replayed"),
        ({"kind": "error_before"}, stripe.APIError, 500, 0, "new"),
        ({"kind": "error_before", "stored": True}, stripe.APIError, 500, 0, "the 500 again"),
        ({"kind": "error_after"}, stripe.APIError, 500, 1, "the 500 again"),
        ({"kind": "error_after", "stored": False}, stripe.APIError, 500, 1, "replayed"),
        ({"kind": "rate_limit"}, stripe.RateLimitError, 429, 0, "new"),
        ({"kind": "conflict"}, stripe.RateLimitError, 429, 0, "new"),
    ],
)
def test_faults(shop: Shop, fault: dict, error: type, status_in_books: int | None, made: int, repeat_is: str):
    shop.server.control(
        "POST", "/_faults", [{"method": "POST", "path": "/v1/customers", "times": 1, **fault}]
    )
    with pytest.raises(error):
        shop.customer("k1")
    assert customers(shop) == made
    post_in_books = shop.server.books()["posts"][0]
    assert (post_in_books["status"], post_in_books["fault"]) == (status_in_books, fault["kind"])
    if repeat_is == "the 500 again":
        with pytest.raises(stripe.APIError):
            shop.customer("k1")
    else:
        shop.customer("k1")
    assert shop.server.books()["posts"][1]["replayed"] is (repeat_is != "new")
    assert customers(shop) == (made if repeat_is == "the 500 again" else 1)


def test_hang_and_delay(shop: Shop):
    shop.server.control("POST", "/_faults", [{"kind": "hang", "seconds": 30, "times": 1}])
    with pytest.raises(requests.Timeout):
        requests.post(
            f"{shop.server.url}/v1/customers",
            data="",
            auth=(KEY, ""),
            headers={"Idempotency-Key": "k"},
            timeout=1,
        )
    assert customers(shop) == 1


def test_decline_and_probability(shop: Shop):
    session = shop.session()
    faults = [{"kind": "decline", "path": "/pay/*", "code": "do_not_honor", "times": 1}]
    shop.server.control("POST", "/_faults", faults)
    assert shop.pay(session.id).status_code == 402
    intent = shop.v.payment_intents.list().data[0]
    assert intent.last_payment_error.decline_code == "do_not_honor"
    assert shop.pay(session.id).status_code == 303

    limited = {"kind": "rate_limit", "path": "/v1/account", "probability": 0.5, "seed": 7}

    def twenty() -> list[int]:
        shop.server.control("DELETE", "/_faults")
        shop.server.control("POST", "/_faults", limited)
        account = f"{shop.server.url}/v1/account"
        return [requests.get(account, auth=(KEY, ""), timeout=60).status_code for _ in range(20)]

    assert set(first := twenty()) == {200, 429}
    assert twenty() == first


@pytest.mark.parametrize("given", [[{"kind": "no"}], [{"kind": "hold", "path": "/x"}], [{"what": 1}], "x"])
def test_nonsense_to_control_routes_is_refused(shop: Shop, given: Any):
    answer = requests.post(f"{shop.server.url}/_faults", json=given, timeout=60)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_sdk_retries_with_the_same_key(shop: Shop):
    shop.server.control("POST", "/_faults", [{"kind": "drop_after", "times": 1}])
    Shop(shop.server, retries=1).customer("k1")
    assert [(p["key"], p["status"]) for p in shop.server.books()["posts"]] == [("k1", None), ("k1", 200)]
    assert customers(shop) == 1


def test_hook_sees_each_request_before_its_effect():
    seen = []

    def hook(method: str, path: str, request: dict) -> None:
        made = len(server.state.store.tables["customer"])
        seen.append((method, path, request, made, threading.current_thread() is server._thread))

    with StripeServer(before_request=hook) as server:
        Shop(server).customer("k1")
    params = {"email": "ada@example.org", "name": "Ada", "metadata": {"household": "h1"}}
    request = {"params": params, "idempotency_key": "k1"}
    assert seen == [("POST", "/v1/customers", request, 0, False)]


def test_refusing_hook_stops_the_request():
    def hook(method: str, path: str, request: dict) -> None:
        raise AssertionError("no row for this key")

    with StripeServer(before_request=hook) as server:
        assert post(Shop(server), "/v1/customers", "", "k1").status_code == 500
        assert server.state.store.tables["customer"] == {}
        assert [repr(error) for error in server.state.hook_errors] == [
            "AssertionError('no row for this key')"
        ]


GOOD = (
    "mode=payment&success_url=http://shop.test/ok&line_items[0][quantity]=1&line_items[0][price_data][currency]=usd"
    "&line_items[0][price_data][unit_amount]=4500&line_items[0][price_data][product_data][name]=Football"
)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ("&colour=red", "parameter_unknown", "colour"),
        (
            "&payment_intent_data[colour]=red",
            "parameter_unknown",
            "payment_intent_data[colour]",
        ),
        ("&line_items[0][price_data][x][y]=1", "parameter_unknown", "line_items[0][price_data][x]"),
        ("mode=", "parameter_missing", "mode"),
        ("success_url=", "parameter_missing", "success_url"),
        ("line_items[0][price_data][currency]=", "parameter_missing", "line_items[0][price_data][currency]"),
        ("4500=50.00", "parameter_invalid_integer", "line_items[0][price_data][unit_amount]"),
        ("4500=10", "amount_too_small", "line_items"),
        ("payment=free", None, "mode"),
        (
            "&payment_intent_data[setup_future_usage]=sometimes",
            None,
            "payment_intent_data[setup_future_usage]",
        ),
        ("&metadata=x", None, "metadata"),
        ("&metadata[a][b]=x", None, "metadata"),
        ("&line_items=x", None, "line_items"),
        ("&customer=", "parameter_invalid_empty", "customer"),
        ("&customer=cus_no", "resource_missing", "customer"),
        ("&allow_promotion_codes=true", None, "allow_promotion_codes"),
        ("&expires_at=1", None, "expires_at"),
        ("http://shop.test/ok=javascript:alert(1)", "url_invalid", "success_url"),
        ("&expand[]=nonsense", None, "expand"),
    ],
)
def test_bad_requests_are_refused(shop: Shop, change: str, code: str | None, param: str):
    answer = post(shop, "/v1/checkout/sessions", _changed(change))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert (error.get("code"), error["param"]) == (code, param)


def _changed(change: str) -> str:
    """Add `&name=value`, leave `name=` out, or write one value for another."""
    if change.startswith("&"):
        return GOOD + change
    old, new = change.split("=", 1)
    if new:
        return GOOD.replace(old, new)
    return "&".join(pair for pair in GOOD.split("&") if not pair.startswith(change))


def test_good_requests_are_accepted(shop: Shop):
    assert post(shop, "/v1/checkout/sessions", GOOD).status_code == 200
    customer = shop.customer()
    customer = shop.v.customers.update(
        customer.id, {"metadata": {"household": "", "new": "1"}, "name": "Ada B"}
    )
    assert (customer.metadata.to_dict(), customer.name) == ({"new": "1"}, "Ada B")
    assert [c.id for c in shop.v.customers.list({"email": "ada@example.org"}).data] == [customer.id]
    session = shop.session()
    sessions = shop.v.checkout.sessions
    assert [s.id for s in sessions.list({"customer": session.customer, "status": "open"}).data] == [
        session.id
    ]
    expanded = sessions.retrieve(session.id, {"expand": ["line_items", "customer"]})
    assert (expanded.line_items.data[0].amount_total, expanded.customer.name) == (9000, "Ada B")
    listed = sessions.list({"expand": ["data.customer"], "limit": 1})
    assert listed.data[0].customer.name == "Ada B"
    as_djstripe = {"expand": ["line_items", "total_details.breakdown", "line_items.data.discounts"]}
    assert sessions.retrieve(session.id, as_djstripe).line_items.data[0].discounts == []
    assert (
        shop.v.customers.retrieve(customer.id, {"expand": ["default_source", "sources"]}).sources.data == []
    )
    account = shop.v.accounts.retrieve_current()
    assert shop.v.accounts.retrieve(account.id).id == account.id
    assert sessions.line_items.list(session.id).data[0].description == "Football, under 9"
