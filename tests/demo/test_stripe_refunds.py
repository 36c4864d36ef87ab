"""Money that goes back: refunds and disputes."""

import pytest
import requests
import stripe

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Shop

DAY = 24 * 3600
UPDATED = ["refund.updated", "charge.refund.updated"]


@pytest.fixture
def shop():
    with StripeServer() as server:
        yield Shop(server)


def paid(shop: Shop, card: str = "4242424242424242") -> stripe.Charge:
    """A payment of 90.00 on the checkout page."""
    shop.pay(shop.session(f"co:{card}").id, card)
    return shop.v.charges.list({"limit": 1}).data[0]


def refund(shop: Shop, charge: stripe.Charge, cents: int | None = None, key: str = "re:1") -> stripe.Refund:
    params = {
        "payment_intent": charge.payment_intent,
        "reason": "requested_by_customer",
        "metadata": {"refund": "r1"},
    }
    amount = {} if cents is None else {"amount": cents}
    return shop.v.refunds.create({**params, **amount}, {"idempotency_key": key})


def balance(shop: Shop) -> int:
    (cents,) = shop.server.books()["balance_cents"].values()
    return cents


def back(shop: Shop, charge: stripe.Charge) -> tuple[int, bool]:
    now = shop.v.charges.retrieve(charge.id)
    return now.amount_refunded, now.refunded


def test_refunds_up_to_what_was_paid(shop: Shop):
    charge = paid(shop)
    first = refund(shop, charge, 4000)
    assert (first.status, first.amount, first.charge, first.metadata.to_dict()) == (
        "succeeded",
        4000,
        charge.id,
        {"refund": "r1"},
    )
    assert refund(shop, charge, 4000).id == first.id
    assert back(shop, charge) == (4000, False)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount") as over:
        refund(shop, charge, 5001, "re:2")
    assert (over.value.code, over.value.param) == (None, "amount")
    assert shop.v.refunds.create({"charge": charge.id}).amount == 5000
    assert back(shop, charge) == (9000, True)
    with pytest.raises(stripe.InvalidRequestError) as again:
        refund(shop, charge, 1, "re:3")
    assert again.value.code == "charge_already_refunded"

    listed = shop.v.refunds.list({"payment_intent": charge.payment_intent}).data
    assert sum(row.amount for row in listed) == 9000
    assert shop.v.refunds.retrieve(first.id).id == first.id
    books = shop.server.books()
    assert [(row["id"], row["amount_cents"], row["status"]) for row in books["refunds"]] == [
        (first.id, 4000, "succeeded"),
        (listed[0].id, 5000, "succeeded"),
    ]
    assert (books["refunds"][0]["metadata"], balance(shop)) == ({"refund": "r1"}, 0)
    assert shop.event_types()[-4:] == ["refund.created", "charge.refunded"] * 2


@pytest.mark.parametrize(
    ("card", "first", "last", "events"),
    [
        ("4000000000005126", "succeeded", "failed", [*UPDATED, "refund.failed"]),
        ("4000000000007726", "pending", "succeeded", UPDATED),
        ("4242424242424242", "succeeded", "succeeded", UPDATED),  # with a reference to trace it
    ],
)
def test_a_refund_turns_days_later(shop: Shop, card: str, first: str, last: str, events: list[str]):
    charge = paid(shop, card)
    made = refund(shop, charge)
    assert (made.status, balance(shop)) == (first, 0)
    shop.server.control("POST", "/_clock", {"advance": DAY})
    assert shop.v.refunds.retrieve(made.id).status == last
    assert shop.event_types()[-len(events) :] == events
    left = 9000 if last == "failed" else 0
    assert (balance(shop), back(shop, charge)) == (left, (9000 - left, left == 0))
    if last == "failed":
        assert refund(shop, charge, key="re:2").status == "succeeded"


def test_refund_by_hand_and_at_the_banks_will(shop: Shop):
    charge = paid(shop)
    made = shop.server.control("POST", "/_refunds", {"charge": charge.id, "amount": 1000})
    event = shop.v.events.list({"type": "refund.created"}).data[0]
    assert (event.data.object["id"], event["request"]["id"]) == (made["id"], None)
    shop.server.control("POST", f"/_refunds/{made['id']}", {"status": "failed"})
    assert (shop.v.refunds.retrieve(made["id"]).failure_reason, balance(shop)) == (
        "expired_or_canceled_card",
        9000,
    )
    for path, given in (
        ("/_refunds", {"charge": charge.id, "amount": 9001}),
        (f"/_refunds/{made['id']}", {"status": "maybe"}),
        ("/_refunds/re_no", {"status": "failed"}),
    ):
        assert requests.post(shop.server.url + path, json=given, timeout=60).status_code == 400


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, None, "payment_intent"),
        ({"charge": "ch_no"}, "resource_missing", "charge"),
        ({"charge": "CH", "amount": 0}, "parameter_invalid_integer", "amount"),
        ({"charge": "CH", "reason": "moody"}, None, "reason"),
        ({"charge": "CH", "reverse_transfer": True}, None, "reverse_transfer"),
        ({"charge": "FAILED"}, None, None),
    ],
)
def test_bad_refunds(shop: Shop, params: dict, code: str | None, param: str | None):
    failed = paid(shop, "4000000000000002")
    ids = {"FAILED": failed.id, "CH": paid(shop).id}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        shop.v.refunds.create({name: ids.get(value, value) for name, value in params.items()})
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize(
    ("end", "left", "events"),
    [("won", 9000, ["closed", "funds_reinstated"]), ("lost", 0, ["closed"])],
)
def test_dispute(shop: Shop, end: str, left: int, events: list[str]):
    charge = paid(shop, "4000000000000259")
    (dispute,) = shop.v.disputes.list({"payment_intent": charge.payment_intent}).data
    assert (dispute.status, dispute.amount, dispute.charge) == ("needs_response", 9000, charge.id)
    assert shop.v.charges.retrieve(charge.id).disputed
    assert balance(shop) == 9000
    with pytest.raises(stripe.InvalidRequestError) as blocked:
        refund(shop, charge)
    assert blocked.value.code == "charge_disputed"
    shop.server.control("POST", f"/_disputes/{dispute.id}", {"status": end})
    assert shop.v.disputes.retrieve(dispute.id).status == end
    assert (balance(shop), shop.server.books()["disputes"][0]["status"]) == (left, end)
    assert [t for t in shop.event_types() if "dispute" in t] == [
        f"charge.dispute.{word}" for word in ["created", "funds_withdrawn", *events]
    ]
    moved = [row.amount for row in shop.v.disputes.retrieve(dispute.id).balance_transactions]
    assert sum(moved) == left - 9000
    closed = requests.post(f"{shop.server.url}/_disputes/{dispute.id}", json={"status": "won"}, timeout=60)
    assert closed.status_code == 400
    if end == "won":
        assert refund(shop, charge, key="re:2").amount == 9000


def test_any_charge_can_be_disputed(shop: Shop):
    charge = paid(shop)
    refund(shop, charge, 4000)
    made = shop.server.control("POST", "/_disputes", {"charge": charge.id, "reason": "product_not_received"})
    assert (made["amount"], made["reason"]) == (5000, "product_not_received")
    again = requests.post(f"{shop.server.url}/_disputes", json={"charge": charge.id}, timeout=60)
    assert again.status_code == 400


def test_an_inquiry_takes_no_money_before_it_becomes_a_dispute(shop: Shop):
    charge = paid(shop, "4000000000001976")
    (inquiry,) = shop.v.disputes.list({"charge": charge.id}).data
    assert (inquiry.status, inquiry.balance_transactions) == ("warning_needs_response", [])
    shop.server.control("POST", f"/_disputes/{inquiry.id}", {"status": "needs_response"})
    taken = shop.v.disputes.retrieve(inquiry.id).balance_transactions
    assert [(row.amount, row.net) for row in taken] == [(-9000, -10500)]
    assert [t for t in shop.event_types() if "dispute" in t] == [
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.funds_withdrawn",
    ]


@pytest.mark.parametrize("end", ["refunded", "disputed"])
def test_a_warning_asks_for_nothing_once_its_charge_is_refunded_or_disputed(shop: Shop, end: str):
    charge = paid(shop, "4000000000005423")
    (warning,) = shop.v.radar.early_fraud_warnings.list({"charge": charge.id}).data
    assert (warning.actionable, warning.payment_intent) == (True, charge.payment_intent)
    refund(shop, charge, 1000)
    assert shop.v.radar.early_fraud_warnings.retrieve(warning.id).actionable
    if end == "refunded":
        refund(shop, charge, 8000, "re:2")
    else:
        shop.server.control("POST", "/_disputes", {"charge": charge.id})
    assert not shop.v.radar.early_fraud_warnings.retrieve(warning.id).actionable
    assert [t for t in shop.event_types() if "warning" in t] == [
        "radar.early_fraud_warning.created",
        "radar.early_fraud_warning.updated",
    ]


def test_the_list_of_events_takes_twenty_types(shop: Shop):
    types = [f"invoice.{number}" for number in range(21)]
    assert shop.v.events.list({"types": types[:20]}).data == []
    with pytest.raises(stripe.InvalidRequestError):
        shop.v.events.list({"types": types})
