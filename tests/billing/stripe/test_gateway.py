"""What Stripe's answers mean: yes, no, declined or unknown; and what is found again after a lost answer."""

import datetime
import json

import pytest
import stripe

from billing.stripe import breaker, gateway
from billing.stripe.gateway import Declined, KeyReused, OutcomeUnknown, StripeRefused
from csf.http_client import Ambiguous, HttpClient, NotSent
from csf.models import Instance


class Answer:
    def __init__(self, status, body):
        self.status, self.headers = status, {}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def answers(monkeypatch, db):
    """Of Stripe, one to each request; the last one to all that follow. Requests are kept."""
    given, asked = [], []

    def ask(self, method, url, *, body, headers, timeout_s):
        asked.append((method, url.partition("/v1/")[2], (body or b"").decode(), headers))
        answer = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(HttpClient, "ask", ask)
    monkeypatch.setattr(stripe.HTTPClient, "_sleep_time_seconds", lambda self, *tries: 0)
    yield given, asked
    breaker.close()


def error(status, **fields):
    return Answer(status, {"error": {"type": "invalid_request_error", "message": "No."} | fields})


REFUND = {"payment_intent": "pi_1", "amount_cents": 500, "metadata": {"refund": "r"}, "key": "refund:1"}
DECLINED = error(402, type="card_error", code="card_declined", decline_code="lost_card")
NO_CUSTOMER = {"code": "resource_missing", "param": "customer"}


@pytest.mark.parametrize(
    ("answer", "meaning", "asks", "facts"),
    [
        (
            DECLINED,
            Declined,
            1,
            {},
        ),
        (error(400, param="amount"), StripeRefused, 1, {"is_missing": False}),
        (
            error(404, **NO_CUSTOMER),
            StripeRefused,
            1,
            {"is_missing": True, "is_no_such_customer": True},
        ),
        (
            error(404, code="resource_missing", param="id"),
            StripeRefused,
            1,
            {"is_no_such_customer": False},
        ),
        (error(400, type="idempotency_error"), KeyReused, 1, {}),
        (error(401), OutcomeUnknown, 1, {}),
        (error(409, code="lock_timeout"), OutcomeUnknown, 2, {}),
        (error(429, code="rate_limit"), OutcomeUnknown, 1, {}),
        (error(500, type="api_error"), OutcomeUnknown, 2, {}),
        (Answer(200, b"<html>"), OutcomeUnknown, 1, {}),
        (NotSent("refused"), OutcomeUnknown, 2, {}),
        (Ambiguous("cut off"), OutcomeUnknown, 2, {}),
    ],
)
def test_what_an_answer_means(answers, answer, meaning, asks, facts):
    given, asked = answers
    given.append(answer)

    with pytest.raises((Declined, StripeRefused, OutcomeUnknown)) as raised:
        gateway.create_refund(**REFUND)

    assert type(raised.value) is meaning
    assert {name: getattr(raised.value, name) for name in facts} == facts
    assert [headers["Idempotency-Key"] for *_, headers in asked] == ["refund:1"] * asks


def test_a_person_who_waits_gets_one_try(answers):
    given, asked = answers
    given.append(NotSent("refused"))

    with gateway.within(5), pytest.raises(OutcomeUnknown):
        gateway.create_refund(**REFUND)

    assert len(asked) == 1


def test_in_quarantine_stripe_is_read_and_not_changed(answers, monkeypatch):
    given, asked = answers
    given.append(Answer(200, {"id": "re_1", "status": "pending"}))
    monkeypatch.setattr(Instance, "why_quarantined", lambda: "in quarantine")

    assert gateway.retrieve_refund("re_1")["status"] == "pending"
    with pytest.raises(gateway.Quarantined, match="in quarantine"):
        gateway.create_refund(**REFUND)

    assert [(method, path) for method, path, *_ in asked] == [("GET", "refunds/re_1")]


FIND = {
    "a page by its attempt": (
        lambda: gateway.find_checkout_session(customer="cus_1", attempt="mine"),
        [{"id": "a", "metadata": {}}, {"id": "b", "metadata": {"attempt": "mine"}}],
    ),
    "a refund by its own id": (
        lambda: gateway.find_refund(payment_intent="pi_1", refund="mine"),
        [{"id": "a", "metadata": {"refund": "other"}}, {"id": "b", "metadata": {"refund": "mine"}}],
    ),
    "the first invoice, which has no number": (
        lambda: gateway.find_invoice(customer="cus_1", installment="mine", number=1),
        [
            {"id": "a", "metadata": {"installment": "mine", "number": "2"}},
            {"id": "b", "metadata": {"installment": "mine"}},
        ],
    ),
    "the second invoice": (
        lambda: gateway.find_invoice(customer="cus_1", installment="mine", number=2),
        [
            {"id": "a", "metadata": {"installment": "mine"}},
            {"id": "b", "metadata": {"installment": "mine", "number": "2"}},
        ],
    ),
}


@pytest.mark.parametrize("name", FIND)
def test_what_was_made_without_an_answer_is_found_by_its_metadata(answers, name):
    given, _ = answers
    find, rows = FIND[name]
    given += [Answer(200, {"data": rows}), Answer(200, {"data": rows[:1]}), Answer(200, {"data": []})]

    assert [find()["id"], find(), find()] == ["b", None, None]


def test_why_the_last_try_to_pay_an_invoice_failed(answers):
    given, _ = answers

    def paid(*intents):
        return Answer(200, {"data": [{"payment": {"payment_intent": intent}} for intent in intents]})

    failed = {"status": "requires_payment_method", "last_payment_error": {"code": "card_declined"}}
    given += [paid(failed, "pi_old"), paid(), paid({"status": "processing"})]

    assert gateway.last_payment_error("in_1") == {"code": "card_declined"}
    assert gateway.last_payment_error("in_1") is None
    with pytest.raises(OutcomeUnknown, match="still processing"):
        gateway.last_payment_error("in_1")


def test_lists_are_read_to_their_end(answers):
    given, asked = answers
    given += [
        Answer(200, {"data": [{"id": "a"}, {"id": "b"}], "has_more": True}),
        Answer(200, {"data": [{"id": "c"}], "has_more": False}),
    ]
    day = datetime.datetime(2027, 3, 1, tzinfo=datetime.UTC)

    found = [row["id"] for row in gateway.list_refunds(since=day, until=day + datetime.timedelta(days=1))]

    assert found == ["a", "b", "c"]
    assert ["starting_after=b" in path for _, path, *_ in asked] == [False, True]
    assert all(f"created[gte]={day.timestamp():.0f}" in path for _, path, *_ in asked)
