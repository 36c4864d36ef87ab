"""Cards saved without a charge, attached, detached and replaced by the bank."""

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Receiver, Shop, receiver


@pytest.fixture
def shop():
    with StripeServer() as server:
        yield Shop(server)


@pytest.fixture
def hook():
    with receiver() as server:
        yield server


@pytest.fixture
def customer(shop: Shop):
    return shop.customer().id


def cards(shop: Shop, customer: str) -> list[str]:
    return [method.card.last4 for method in shop.v.customers.payment_methods.list(customer).data]


def test_a_card_is_saved_without_a_charge(shop: Shop, customer: str, hook: Receiver):
    shop.listen(hook, ["setup_intent.succeeded", "checkout.session.completed", "payment_method.attached"])
    session = shop.setup_session(customer)
    assert (session.mode, session.amount_total, session.payment_status) == (
        "setup",
        None,
        "no_payment_required",
    )
    page = requests.get(session.url, timeout=60).text
    assert "Save a card" in page
    assert 'href="http://shop.test/cards"' in page
    assert shop.pay(session.id, "4000000000000002").status_code == 402
    intent = shop.v.setup_intents.retrieve(session.setup_intent)
    assert (intent.status, intent.last_setup_error.decline_code) == (
        "requires_payment_method",
        "generic_decline",
    )
    assert shop.pay(session.id).headers["Location"] == f"http://shop.test/saved?session={session.id}"

    intent = shop.v.setup_intents.retrieve(session.setup_intent)
    assert (intent.status, intent.customer, intent.last_setup_error) == ("succeeded", customer, None)
    assert intent.metadata.to_dict() == {"purpose": "card_update", "user": "u1"}
    assert shop.v.checkout.sessions.retrieve(session.id).status == "complete"
    assert cards(shop, customer) == ["4242"]
    assert shop.v.setup_intents.list({"customer": customer}).data[0].id == intent.id
    assert shop.server.books()["charges"] == []
    hook.wait_for(3)
    assert sorted(hook.types) == [
        "checkout.session.completed",
        "payment_method.attached",
        "setup_intent.succeeded",
    ]


def test_setup_with_three_d_secure(shop: Shop, customer: str):
    session = shop.setup_session(customer)
    secure = f"/pay/{session.id}/authenticate"
    assert shop.pay(session.id, "4000002760003184").headers["Location"] == secure
    assert "asks you to confirm your card" in shop.browser.get(shop.server.url + secure, timeout=60).text
    assert shop.click(secure, result="fail").status_code == 402
    error = shop.v.setup_intents.retrieve(session.setup_intent).last_setup_error
    assert error.code == "setup_intent_authentication_failure"
    shop.pay(session.id, "4000008260003178")
    assert shop.click(secure, result="pass").status_code == 303
    assert cards(shop, customer) == ["3178"]


def test_setup_session_ends_without_a_card(shop: Shop, customer: str):
    session = shop.setup_session(customer)
    shop.v.checkout.sessions.expire(session.id)
    assert shop.v.setup_intents.retrieve(session.setup_intent).status == "canceled"
    for more in (
        {"line_items": [{"quantity": 1}]},
        {"payment_intent_data": {"description": "x"}},
        {"expires_at": 1},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            shop.setup_session(customer, "su:2", **more)
    with pytest.raises(stripe.InvalidRequestError, match="setup_intent_data"):
        shop.session("co:1", setup_intent_data={"description": "x"})


def test_attach_and_detach(shop: Shop, customer: str):
    methods = shop.v.payment_methods
    attached = methods.attach("pm_card_visa", {"customer": customer})
    shop.v.customers.update(customer, {"invoice_settings": {"default_payment_method": attached.id}})
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        methods.attach(attached.id, {"customer": customer})
    with pytest.raises(stripe.CardError) as declined:
        methods.attach("pm_card_chargeDeclined", {"customer": customer})
    assert declined.value.code == "card_declined"
    assert methods.attach("pm_card_chargeCustomerFail", {"customer": customer}).customer == customer
    assert cards(shop, customer) == ["0341", "4242"]

    assert methods.detach(attached.id).customer is None
    assert shop.v.customers.retrieve(customer).invoice_settings.default_payment_method is None
    assert cards(shop, customer) == ["0341"]
    with pytest.raises(stripe.InvalidRequestError, match="not attached"):
        methods.detach(attached.id)
    with pytest.raises(stripe.InvalidRequestError, match="previously detached"):
        methods.attach(attached.id, {"customer": customer})
    with pytest.raises(stripe.InvalidRequestError) as gone:
        shop.charge(shop.invoice(customer).id, attached.id)
    assert gone.value.code == "resource_missing"


def test_a_card_never_set_up_is_asked_for_off_session(shop: Shop, customer: str):
    method = shop.v.payment_methods.attach("pm_card_authenticationRequired", {"customer": customer}).id
    assert shop.decline(shop.invoice(customer).id, method)["code"] == "authentication_required"


def test_the_bank_replaces_a_card(shop: Shop, customer: str, hook: Receiver):
    shop.listen(hook, ["payment_method.automatically_updated"])
    method, invoice = shop.saved_card(customer, "4000000000000341"), shop.invoice(customer)
    shop.decline(invoice.id, method)
    given = {"card": "4242424242424242", "exp_month": 2, "exp_year": 2034}
    shop.server.control("POST", f"/_cards/{method}/update", given)
    event = hook.wait_for(1)[0]
    card = event["data"]["object"]["card"]
    assert (card["last4"], card["exp_month"], card["exp_year"]) == ("4242", 2, 2034)
    assert event["data"]["previous_attributes"]["card"]["last4"] == "0341"
    assert shop.charge(invoice.id, method).status == "paid"
    for wrong in ({"card": "1"}, {"colour": 1}, {"exp_year": "soon"}):
        url = f"{shop.server.url}/_cards/{method}/update"
        assert requests.post(url, json=wrong, timeout=60).status_code == 400
