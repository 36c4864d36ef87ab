import pytest
import requests
import stripe

from demo.standins.stripe.customers.cards import TEST_CARDS
from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import KEY, Receiver, Shop, receiver
from tests.waiting import wait_until


@pytest.fixture
def shop():
    with StripeServer() as server:
        yield Shop(server)


@pytest.fixture
def hook():
    with receiver() as server:
        yield server


def test_decline_then_success(shop: Shop, hook: Receiver):
    shop.listen(hook)
    session = shop.session()
    assert (session.payment_intent, session.status, session.amount_total) == (None, "open", 9000)
    assert session.url == f"{shop.server.url}/pay/{session.id}"

    declined = shop.pay(session.id, "4000 0000 0000 9995")
    assert declined.status_code == 402
    assert "insufficient funds" in declined.text
    session = shop.v.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]})
    intent = session.payment_intent
    assert (session.status, intent.status, intent.latest_charge.status) == (
        "open",
        "requires_payment_method",
        "failed",
    )
    error = intent.last_payment_error
    assert (error.code, error.decline_code, error.advice_code) == (
        "card_declined",
        "insufficient_funds",
        "try_again_later",
    )

    paid = shop.pay(session.id)
    assert paid.status_code == 303
    assert paid.headers["Location"] == f"http://shop.test/thanks?session={session.id}"
    again = shop.pay(session.id)
    assert (again.status_code, again.headers["Location"]) == (303, paid.headers["Location"])

    after = shop.v.checkout.sessions.retrieve(session.id)
    assert (after.status, after.payment_status, after.payment_intent, after.url) == (
        "complete",
        "paid",
        intent.id,
        None,
    )
    succeeded = shop.v.payment_intents.retrieve(intent.id)
    assert (succeeded.status, succeeded.amount_received, succeeded.last_payment_error) == (
        "succeeded",
        9000,
        None,
    )
    assert succeeded.metadata.to_dict() == {"order": "o1", "installment": "i1", "attempt": "a1"}

    charges = shop.v.charges.list({"payment_intent": intent.id}).data
    assert [(c.status, c.amount, c.failure_code) for c in charges] == [
        ("succeeded", 9000, None),
        ("failed", 9000, "card_declined"),
    ]
    books = shop.server.books()
    assert books["balance_cents"] == {session.customer: 9000}
    assert [(row["id"], row["succeeded"]) for row in books["charges"]] == [
        (charges[1].id, False),
        (charges[0].id, True),
    ]
    events = hook.wait_for(4)
    assert sorted(hook.types) == [
        "charge.succeeded",
        "checkout.session.completed",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
    ]
    assert {event["api_version"] for event in events} == {"2026-08-26.dahlia"}
    wait_until(lambda: not shop.v.events.list({"delivery_success": False}).data)


def test_card_is_saved_only_for_future_usage(shop: Shop):
    once = shop.session("co:once", payment_intent_data={"metadata": {"order": "o0"}})
    shop.pay(once.id)
    assert shop.v.customers.payment_methods.list(once.customer).data == []
    kept = shop.session("co:kept")
    shop.pay(kept.id, "pm_card_visa")
    methods = shop.v.customers.payment_methods.list(kept.customer, {"type": "card"}).data
    assert [(m.customer, m.card.last4) for m in methods] == [(kept.customer, "4242")]
    assert shop.v.payment_methods.retrieve(methods[0].id).card.last4 == "4242"
    default = {"invoice_settings": {"default_payment_method": methods[0].id}}
    updated = shop.v.customers.update(kept.customer, default)
    assert updated.invoice_settings.default_payment_method == methods[0].id


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("4000000000000341", "card_declined", "generic_decline"),
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", None),
        ("4000000000000127", "incorrect_cvc", None),
        ("4000000000000119", "processing_error", None),
        ("4000000000006975", "card_declined", "card_velocity_exceeded"),
    ],
)
def test_cards_that_decline(shop: Shop, card: str, code: str, decline_code: str | None):
    session = shop.session()
    assert shop.pay(session.id, card).status_code == 402
    intent = shop.v.payment_intents.list({"customer": session.customer}).data[0]
    error = intent.last_payment_error.to_dict()
    assert (error["code"], error.get("decline_code")) == (code, decline_code)
    assert error["charge"] == intent.latest_charge
    assert shop.v.charges.retrieve(intent.latest_charge).outcome.reason == (decline_code or code)


@pytest.mark.parametrize("card", ["4000000000005126", "4000000000000259"])
def test_cards_that_pay_and_matter_later(shop: Shop, card: str):
    assert shop.pay(shop.session().id, card).status_code == 303


def test_three_d_secure(shop: Shop):
    session = shop.session()
    page = f"/pay/{session.id}/authenticate"

    def state() -> tuple[str, str | None]:
        intent = shop.v.payment_intents.list({"customer": session.customer}).data[0]
        return intent.status, intent.last_payment_error and intent.last_payment_error.code

    assert shop.pay(session.id, "4000002760003184").headers["Location"] == page
    assert state() == ("requires_action", None)
    assert "3-D Secure" in shop.browser.get(shop.server.url + page, timeout=60).text
    assert shop.click(page, result="fail").status_code == 402
    assert state() == ("requires_payment_method", "payment_intent_authentication_failure")
    assert shop.click(page, result="pass").headers["Location"] == f"/pay/{session.id}"

    shop.pay(session.id, "4000008260003178")
    assert shop.click(page, result="pass").status_code == 402
    assert state() == ("requires_payment_method", "card_declined")

    shop.pay(session.id, "4000002500003155")
    assert shop.click(page, result="pass").headers["Location"].startswith("http://shop.test/thanks")
    assert state() == ("succeeded", None)


def test_expiry_by_clock_and_by_call(shop: Shop, hook: Receiver):
    shop.listen(hook)
    by_call, by_clock = shop.session("co:1"), shop.session("co:2")
    shop.pay(by_call.id, "4000000000000002")
    expired = shop.v.checkout.sessions.expire(by_call.id, {}, {"idempotency_key": "exp:1"})
    assert (expired.status, expired.url) == ("expired", None)
    assert shop.v.payment_intents.retrieve(expired.payment_intent).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="status of `expired`"):
        shop.v.checkout.sessions.expire(by_call.id)

    shop.server.control("POST", "/_clock", {"now": by_clock.expires_at})
    assert shop.v.checkout.sessions.retrieve(by_clock.id).status == "expired"
    assert shop.pay(by_clock.id).status_code == 410
    assert shop.server.books()["balance_cents"] == {}
    hook.wait_for(3)
    assert sorted(hook.types)[:2] == ["checkout.session.expired"] * 2
    assert abs(shop.server.control("POST", "/_clock", {"now": None})["now"] - shop.now()) <= 1


def test_page_shows_what_is_paid_and_runs_no_foreign_markup(shop: Shop):
    price = {"currency": "usd", "unit_amount": 1250, "product_data": {"name": "<script>alert(1)</script>"}}
    session = shop.session(line_items=[{"price_data": price, "quantity": 1}])
    page = requests.get(session.url, timeout=60)
    assert page.status_code == 200
    assert "Stripe stand-in" in page.text
    assert "12.50 USD" in page.text
    assert "<script" not in page.text
    assert 'href="http://shop.test/cart"' in page.text
    assert page.text.count('name="card"') == len(TEST_CARDS) + 1
    assert shop.pay(session.id, "4111111111111111").status_code == 400
    assert shop.v.checkout.sessions.retrieve(session.id).payment_intent is None
    assert requests.get(f"{shop.server.url}/pay/cs_test_no", timeout=60).status_code == 404
    shop.pay(session.id, "4242424242424242")
    index = requests.get(shop.server.url, timeout=60).text
    assert session.id in index
    assert "payment_intent.succeeded" in index


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8001"}, 403),
        ({"Host": "localhost:1234"}, 200),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer sk_live_aaaaaaaaaaaaaaaaaaaaaaaa"}, 401),
        ({"Authorization": "Bearer rk_test_aaaaaaaaaaaaaaaaaaaaaaaa"}, 401),
    ],
)
def test_refuses_other_hosts_and_keys(shop: Shop, headers: dict[str, str], status: int):
    ours = {"Authorization": f"Bearer {KEY}", **headers}
    answer = requests.get(f"{shop.server.url}/v1/account", headers=ours, timeout=60)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["type"] == "invalid_request_error"


def test_takes_no_posts_from_other_sites(shop: Shop):
    headers = {"Origin": "https://evil.example"}
    assert requests.post(f"{shop.server.url}/_reset", headers=headers, timeout=60).status_code == 403


def test_unknown_routes_and_ids(shop: Shop):
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL") as unknown:
        shop.v.products.list()
    assert unknown.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_no'") as missing:
        shop.v.customers.retrieve("cus_no")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_pages_of_a_list(shop: Shop):
    made = [shop.customer(f"cus:{n}").id for n in range(5)][::-1]
    first = shop.v.customers.list({"limit": 2})
    assert ([c.id for c in first.data], first.has_more) == (made[:2], True)
    assert [c.id for c in first.auto_paging_iter()] == made
    before = shop.v.customers.list({"limit": 2, "ending_before": made[4]})
    assert ([c.id for c in before.data], before.has_more) == (made[2:4], True)
