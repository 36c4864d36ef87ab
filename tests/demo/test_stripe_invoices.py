"""Installments: invoices from draft to end, charged on saved cards and paid on the hosted page."""

from collections.abc import Callable

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Shop

NEEDS_SECURE = "4000002760003184"


@pytest.fixture
def shop():
    with StripeServer() as server:
        yield Shop(server)


@pytest.fixture
def customer(shop: Shop):
    return shop.customer().id


def intent_of(shop: Shop, invoice: str) -> stripe.PaymentIntent:
    (payment,) = shop.v.invoice_payments.list({"invoice": invoice}).data
    return shop.v.payment_intents.retrieve(payment.payment.payment_intent)


def test_an_installment_is_paid(shop: Shop, customer: str):
    method = shop.saved_card(customer)
    invoice = shop.invoice(customer)
    assert (invoice.status, invoice.amount_due, invoice.amount_remaining, invoice.amount_paid) == (
        "open",
        4500,
        4500,
        0,
    )
    assert (invoice.auto_advance, invoice.attempted, invoice.attempt_count) == (False, False, 0)
    assert invoice.hosted_invoice_url == f"{shop.server.url}/invoice/{invoice.id}"
    assert [line.description for line in shop.v.invoices.line_items.list(invoice.id).data] == [
        "Football, part 2"
    ]
    assert {"payment_intent", "charge", "paid"}.isdisjoint(invoice.to_dict())

    paid = shop.charge(invoice.id, method, "pay:1")
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", 4500, 0)
    assert (paid.attempted, paid.attempt_count) == (True, 1)
    assert shop.charge(invoice.id, method, "pay:1").status == "paid"
    intent = intent_of(shop, invoice.id)
    assert (intent.status, intent.metadata.to_dict(), intent.payment_method) == ("succeeded", {}, method)
    wanted = {"payment": {"type": "payment_intent", "payment_intent": intent.id}}
    (payment,) = shop.v.invoice_payments.list({**wanted, "expand": ["data.invoice"]}).data
    assert (payment.invoice.id, payment.status, payment.amount_paid) == (invoice.id, "paid", 4500)
    expanded = shop.v.invoices.retrieve(invoice.id, {"expand": ["payments.data.payment.payment_intent"]})
    assert expanded.payments.data[0].payment.payment_intent.latest_charge == intent.latest_charge
    assert shop.v.invoice_payments.list({"invoice": invoice.id, "status": "open"}).data == []
    assert [i.id for i in shop.v.invoices.list({"customer": customer, "status": "paid"}).data] == [invoice.id]

    books = shop.server.books()
    assert books["balance_cents"] == {customer: 4500}
    (row,) = books["invoices"]["i2"]
    assert (row["status"], row["amount_paid_cents"], row["payment_intent"]) == ("paid", 4500, intent.id)
    assert [t for t in shop.event_types() if t.startswith(("invoice.", "payment_intent."))] == [
        "invoice.created",
        "payment_intent.created",
        "invoice.finalized",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]


@pytest.mark.parametrize(
    ("card", "outcome", "expected"),
    [
        ("4000000000000341", None, ("card_declined", "generic_decline", None, None)),
        ("4000008260003178", None, ("card_declined", "insufficient_funds", "try_again_later", None)),
        (NEEDS_SECURE, None, ("authentication_required", "authentication_required", None, None)),
        ("4242424242424242", "lost_card", ("card_declined", "lost_card", "do_not_try_again", None)),
        ("4242424242424242", "expired_card", ("expired_card", None, "confirm_card_data", None)),
        ("4242424242424242", "whatever", ("card_declined", "whatever", None, None)),
        (
            "4242424242424242",
            {"code": "card_declined", "decline_code": "do_not_honor", "network_advice_code": "24"},
            ("card_declined", "do_not_honor", None, "24"),
        ),
    ],
)
def test_a_decline_tells_why(shop: Shop, customer: str, card: str, outcome: object, expected: tuple):
    method, invoice = shop.saved_card(customer, card), shop.invoice(customer)
    if outcome is not None:
        shop.server.control("POST", f"/_cards/{method}", {"next": [outcome]})
    error = shop.decline(invoice.id, method, "pay:1")
    told = ("code", "decline_code", "advice_code", "network_advice_code")
    assert tuple(error.get(name) for name in told) == expected
    assert error["type"] == "card_error"
    intent = intent_of(shop, invoice.id)
    assert error["payment_intent"] == intent.to_dict()
    assert (intent.status, intent.latest_charge) == ("requires_payment_method", error["charge"])
    assert tuple(intent.last_payment_error.to_dict().get(name) for name in told) == expected
    assert shop.decline(invoice.id, method, "pay:1") == error

    after = shop.v.invoices.retrieve(invoice.id)
    assert (after.status, after.amount_remaining, after.attempt_count) == ("open", 4500, 1)
    needs_action = expected[0] == "authentication_required"
    assert shop.event_types().count("invoice.payment_failed") == 1
    assert shop.event_types().count("invoice.payment_action_required") == needs_action
    assert shop.server.books()["balance_cents"] == {}


def test_a_script_ends_and_the_card_is_itself_again(shop: Shop, customer: str):
    method, invoice = shop.saved_card(customer), shop.invoice(customer)
    shop.server.control("POST", f"/_cards/{method}", {"next": ["insufficient_funds", "lost_card", "ok"]})
    declines = [shop.decline(invoice.id, method)["decline_code"] for _ in range(2)]
    assert declines == ["insufficient_funds", "lost_card"]
    assert shop.charge(invoice.id, method).status == "paid"
    assert shop.charge(shop.invoice(customer, "i3").id, method).status == "paid"
    assert len({row["payment_intent"] for row in shop.server.books()["charges"]}) == 2
    unknown = f"{shop.server.url}/_cards/{method}"
    for outcomes in ([{"code": "invoice_already_paid"}], [{"colour": "red"}], "ok", [{}]):
        assert requests.post(unknown, json={"next": outcomes}, timeout=60).status_code == 400
    assert requests.post(f"{shop.server.url}/_cards/pm_no", json={"next": []}, timeout=60).status_code == 400


def test_set_up_once_is_enough_for_some_banks(shop: Shop, customer: str):
    method = shop.saved_card(customer, "4000002500003155")
    assert shop.charge(shop.invoice(customer).id, method).status == "paid"
    session = shop.session("co:1", payment_intent_data={"setup_future_usage": "off_session"})
    shop.pay(session.id, "4000002500003155")
    shop.click(f"/pay/{session.id}/authenticate", result="pass")
    kept = shop.v.customers.payment_methods.list(customer).data[0].id
    assert shop.charge(shop.invoice(customer, "i3").id, kept).status == "paid"


def test_with_the_parent_present_the_bank_asks(shop: Shop, customer: str):
    method, invoice = shop.saved_card(customer, NEEDS_SECURE), shop.invoice(customer)
    error = shop.decline(invoice.id, method, off_session=False)
    assert error["code"] == "invoice_payment_intent_requires_action"
    assert (error["payment_intent"]["status"], shop.server.books()["charges"]) == ("requires_action", [])
    assert shop.event_types()[-2:] == ["invoice.payment_failed", "invoice.payment_action_required"]
    shop.click(f"/invoice/{invoice.id}/authenticate", result="pass")
    assert shop.v.invoices.retrieve(invoice.id).status == "paid"


def _draft(shop: Shop, customer: str) -> str:
    return shop.v.invoices.create({"customer": customer}).id


def _open(shop: Shop, customer: str) -> str:
    return shop.invoice(customer).id


def _paid(shop: Shop, customer: str) -> str:
    return shop.charge(_open(shop, customer), shop.saved_card(customer, key="su:p")).id


def _void(shop: Shop, customer: str) -> str:
    return shop.v.invoices.void_invoice(_open(shop, customer)).id


def _uncollectible(shop: Shop, customer: str) -> str:
    return shop.v.invoices.mark_uncollectible(_open(shop, customer)).id


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        (_draft, {"finalize": "paid", "item": "draft"}),  # nothing to pay
        (_open, {"pay": "paid", "void": "void", "give_up": "uncollectible"}),
        (_paid, {}),
        (_void, {}),
        (_uncollectible, {"pay": "paid", "void": "void"}),
    ],
)
@pytest.mark.parametrize("move", ["finalize", "item", "pay", "void", "give_up"])
def test_moves(shop: Shop, customer: str, given: Callable[[Shop, str], str], move: str, allowed: dict):
    invoice, method = given(shop, customer), shop.saved_card(customer)
    before = shop.v.invoices.retrieve(invoice)
    item = {"customer": customer, "invoice": invoice, "amount": 5}
    moves = {
        "finalize": lambda: shop.v.invoices.finalize_invoice(invoice),
        "item": lambda: shop.v.invoice_items.create(item),
        "pay": lambda: shop.charge(invoice, method),
        "void": lambda: shop.v.invoices.void_invoice(invoice),
        "give_up": lambda: shop.v.invoices.mark_uncollectible(invoice),
    }
    if move in allowed:
        moves[move]()
    else:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            moves[move]()
        assert refused.value.http_status == 400
        assert refused.value.code == ("invoice_not_editable" if move == "item" else None)
    assert shop.v.invoices.retrieve(invoice).status == allowed.get(move, before.status)


def test_void_cancels_what_would_pay_it(shop: Shop, customer: str):
    invoice = _void(shop, customer)
    intent = intent_of(shop, invoice)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "void_invoice")
    assert shop.v.invoice_payments.list({"invoice": invoice}).data[0].status == "canceled"
    assert shop.server.books()["invoices"]["i2"][0]["status"] == "void"
    assert "invoice.voided" in shop.event_types()


@pytest.mark.parametrize(
    ("path", "params", "code", "param"),
    [
        ("invoices", {}, "parameter_missing", "customer"),
        ("invoices", {"customer": "cus_no"}, "resource_missing", "customer"),
        ("invoices", {"customer": "CUS", "collection_method": "send_invoice"}, None, "collection_method"),
        ("invoices", {"customer": "CUS", "auto_advance": "maybe"}, None, "auto_advance"),
        ("invoices", {"customer": "CUS", "due": 1}, "parameter_unknown", "due"),
        ("invoices", {"customer": "CUS", "subscription": "sub_1"}, None, "subscription"),
        ("invoiceitems", {"customer": "CUS", "amount": 1}, "parameter_missing", "invoice"),
        ("invoiceitems", {"customer": "CUS", "amount": "5.00"}, "parameter_invalid_integer", "amount"),
        (
            "invoiceitems",
            {"customer": "CUS", "amount": 1, "invoice": "IN", "currency": "eur"},
            None,
            "currency",
        ),
        ("invoices/IN/pay", {"payment_method": "pm_no"}, "resource_missing", "payment_method"),
        ("invoices/IN/pay", {}, None, None),
        ("invoices/in_no/pay", {}, "resource_missing", "id"),
    ],
)
def test_bad_requests(
    shop: Shop, customer: str, path: str, params: dict, code: str | None, param: str | None
):
    ids = {"CUS": customer, "IN": shop.invoice(customer).id}
    data = {name: ids.get(str(value), value) for name, value in params.items()}
    url = f"{shop.server.url}/v1/{path.replace('IN', ids['IN'])}"
    answer = requests.post(url, data=data, auth=("sk_test_x", ""), timeout=60)
    error = answer.json()["error"]
    assert answer.status_code == (404 if "in_no" in path else 400)
    assert (error["type"], error.get("code"), error.get("param")) == ("invalid_request_error", code, param)


def test_faults_strike_invoices_too(shop: Shop, customer: str):
    method, invoice = shop.saved_card(customer), shop.invoice(customer)
    path = "/v1/invoices/*/pay"
    faults = [
        {"kind": "decline", "path": path, "code": "do_not_honor", "times": 1},
        {"kind": "drop_after", "path": path, "times": 1},
    ]
    shop.server.control("POST", "/_faults", faults)
    with pytest.raises(stripe.APIConnectionError):
        shop.charge(invoice.id, method, "pay:1")
    assert shop.decline(invoice.id, method, "pay:1")["decline_code"] == "do_not_honor"
    shop.server.control("POST", "/_faults", [{"kind": "error_after", "path": path, "times": 1}])
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            shop.charge(invoice.id, method, "pay:2")
    assert shop.v.invoices.retrieve(invoice.id).status == "paid"
    assert [row["succeeded"] for row in shop.server.books()["charges"]] == [False, True]


def test_update_keeps_what_is_not_named(shop: Shop, customer: str):
    invoice = shop.invoice(customer)
    changed = shop.v.invoices.update(invoice.id, {"metadata": {"note": "x"}})
    assert changed.metadata.to_dict() == {"installment": "i2", "note": "x"}
    assert shop.server.books()["invoices"]["i2"][0]["metadata"] == changed.metadata.to_dict()


def test_hosted_page(shop: Shop, customer: str):
    method, invoice = shop.saved_card(customer, NEEDS_SECURE), shop.invoice(customer)
    page = f"/invoice/{invoice.id}"

    def text() -> str:
        return requests.get(shop.server.url + page, timeout=60).text

    assert "45.00 USD" in text()
    assert f'name="saved" value="{method}"' in text()
    assert shop.click(page, card="1").status_code == 400
    declined = shop.click(page, card="4000000000009995")
    assert (declined.status_code, "insufficient funds" in declined.text) == (402, True)
    secure = shop.click(page, saved="1").headers["Location"]
    assert secure == f"{page}/authenticate"
    assert "45.00 USD" in shop.browser.get(shop.server.url + secure, timeout=60).text
    assert shop.click(secure, result="fail").status_code == 402
    assert shop.click(secure, result="pass").headers["Location"] == page
    shop.click(page, saved=method)
    assert shop.click(secure, result="pass").headers["Location"] == page
    assert "<b>paid</b>" in text()
    assert "<button" not in text()
    assert shop.click(page, saved="1").headers["Location"] == page
    assert shop.event_types().count("invoice.payment_failed") == 2
    assert shop.event_types().count("invoice.paid") == 1
    assert shop.server.books()["balance_cents"] == {customer: 4500}
    draft = _draft(shop, customer)
    assert requests.get(f"{shop.server.url}/invoice/{draft}", timeout=60).status_code == 404
