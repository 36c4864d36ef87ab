"""What a parent, the office and the card see after each of a bank's answers, on each day of dunning.

ANSWERS is the table that an office manager reads: one row for each code of Stripe's list. What follows from
a class on each day stands in AFTER.
"""

from datetime import timedelta

import pytest
from django.db import transaction
from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from billing.installments import attempts
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.models import Card, ChargeAttempt, Installment
from billing.stripe import gateway
from billing.stripe.decline_codes import CLASS_BY_CODE
from csf.models import StaffTask
from notifications.models import EmailMessage
from notifications.rendering.render import render
from tests.factories import create_card, create_consent, create_order

pytestmark = pytest.mark.django_db

# Code of the bank, and what it means for the card.
ANSWERS = """
    insufficient_funds                   again later
    card_velocity_exceeded               again later
    withdrawal_count_limit_exceeded      again later
    generic_decline                      again later
    do_not_honor                         again later
    call_issuer                          again later
    no_action_taken                      again later
    try_again_later                      again later
    issuer_not_available                 again later
    processing_error                     again later
    reenter_transaction                  again later
    approve_with_id                      again later
    card_declined                        again later
    expired_card                         another card
    card_gone                            another card
    incorrect_number                     another card
    invalid_account                      another card
    incorrect_cvc                        another card
    card_not_supported                   another card
    currency_not_supported               another card
    new_account_information_available    another card
    invalid_number                       another card
    invalid_cvc                          another card
    invalid_expiry_month                 another card
    invalid_expiry_year                  another card
    incorrect_zip                        another card
    lost_card                            never again
    stolen_card                          never again
    pickup_card                          never again
    restricted_card                      never again
    fraudulent                           never again
    merchant_blacklist                   never again
    revocation_of_authorization          never again
    revocation_of_all_authorizations     never again
    stop_payment_order                   never again
    transaction_not_allowed              never again
    service_not_allowed                  never again
    security_violation                   never again
    do_not_try_again                     never again
    authentication_required                        parent confirms
    invoice_payment_intent_requires_action         parent confirms
    payment_intent_authentication_failure          parent confirms
    duplicate_transaction                person looks
    a_code_of_next_year                  not known
"""
MEANING = dict(line.split(None, 1) for line in ANSWERS.strip().splitlines())

# Meaning and day of the try | installment, next try, card | email, its number, what it says | tasks of staff
AFTER = """
  again later      0 | retry_wait day 3    | failed 1: again       |
  again later      3 | retry_wait day 7    | failed 2: again       |
  again later      7 | retry_wait day 14   | failed 3: a last time |
  again later     14 | exhausted           | failed 4: no more     | installment_exhausted
  another card     0 | needs_card          | failed 1: other card  |
  another card     3 | needs_card          | failed 2: other card  |
  another card     7 | needs_card          | failed 2: other card  |
  another card    14 | needs_card          | failed 2: other card  |
  never again      0 | needs_card, refused | failed 1: other card  | card_refused
  never again      3 | needs_card, refused | failed 2: other card  | card_refused
  never again      7 | needs_card, refused | failed 2: other card  | card_refused
  never again     14 | needs_card, refused | failed 2: other card  | card_refused
  parent confirms  0 | needs_auth          | authentication_needed |
  parent confirms  3 | needs_auth          | authentication_needed |
  parent confirms  7 | needs_auth          | authentication_needed |
  parent confirms 14 | needs_auth          | authentication_needed |
  person looks     0 | retry_wait day 3    | failed 1: again       | decline_to_look_at
  person looks     3 | retry_wait day 7    | failed 2: again       | decline_to_look_at
  person looks     7 | retry_wait day 14   | failed 3: a last time | decline_to_look_at
  person looks    14 | exhausted           | failed 4: no more     | decline_to_look_at installment_exhausted
  not known        0 | retry_wait day 3    | failed 1: again       | decline_to_look_at
  not known        3 | exhausted           | failed 4: no more     | decline_to_look_at installment_exhausted
  not known        7 | exhausted           | failed 4: no more     | decline_to_look_at installment_exhausted
  not known       14 | exhausted           | failed 4: no more     | decline_to_look_at installment_exhausted
"""


def after_each():
    """By meaning and day: what the columns say."""
    rows = {}
    for line in AFTER.strip().splitlines():
        when, *columns = [column.strip() for column in line.split("|")]
        meaning, day = when.rsplit(None, 1)
        rows[meaning, int(day)] = columns
    return rows


@pytest.fixture
def part(monkeypatch):
    """The second part of a confirmed order, with a card; the bank answers with the `error` put on it."""
    order = create_order()
    order.installments.update(status="paid")
    order.confirm(reason="paid")
    card = create_card(order, fingerprint="f1")
    first = order.installments.get(number=1)
    part = Installment.objects.create(
        order=order, number=2, due_on=first.due_on, amount_cents=5_000, consent=create_consent(order)
    )
    part.card, part.error = card, {}

    def say_no(attempt):
        raise gateway.Declined(part.error)

    monkeypatch.setattr(attempts, "_charge", say_no)
    return part


def tried(part, error, *, day):
    """What has come of the try on that day after the due date, after soft declines on the days before; in
    the words of AFTER. Nothing of it stays."""
    with transaction.atomic():
        for number, before in enumerate((n for n in (0, 3, 7) if n < day), start=1):
            ChargeAttempt.objects.create(
                installment=part,
                number=number,
                kind="auto",
                status="declined",
                amount_cents=part.amount_cents,
                currency="usd",
                charged_on=part.due_on + timedelta(days=before),
                card=part.card,
            )
        on = part.due_on + timedelta(days=day)
        if day:
            Installment.objects.filter(pk=part.pk).update(status="retry_wait", next_try_on=on)
        EmailMessage.objects.all().delete()
        part.error.clear()
        part.error.update(error)
        assert start_charges(["scheduled", "retry_wait"], on=on).done == 1
        run_attempt(ChargeAttempt.objects.waiting().get().pk)
        found = seen(part)
        transaction.set_rollback(True)
    return found


def seen(part):
    row = Installment.objects.get(pk=part.pk)
    next_try = f" day {(row.next_try_on - row.due_on).days}" if row.next_try_on else ""
    tasks = " ".join(sorted(StaffTask.objects.values_list("kind", flat=True)))
    refused = ", refused" if Card.objects.get().refused_at else ""
    return [f"{row.status}{next_try}{refused}", told(row), tasks]


SAYS = {
    "again": ["We'll try again on", "You can also pay now"],
    "a last time": ["We'll try again on", "our last automatic try"],
    "no more": ["won't try again automatically", "office will be in touch"],
    "other card": ["Please use another card"],
}


def told(row):
    """The one email, its number, and which of SAYS stands in its text."""
    email = EmailMessage.objects.get()
    text = " ".join(render(email.kind, email.context).text.split())
    assert not {"stolen", "fraud"} & set(text.lower().split())
    assert email.context.get("next_try_on") == (row.next_try_on and row.next_try_on.isoformat())
    if email.kind == "authentication_needed":
        assert "Please confirm the payment" in text
        return email.kind
    [says] = [short for short, phrases in SAYS.items() if all(phrase in text for phrase in phrases)]
    return f"{email.kind.removeprefix('payment_')} {email.context['stage']}: {says}"


def test_every_answer_of_a_bank_on_every_day(part):
    assert set(MEANING) == {*CLASS_BY_CODE, "a_code_of_next_year"}

    found = {
        (code, meaning, day): tried(part, {"code": "card_declined", "decline_code": code}, day=day)
        for code, meaning in MEANING.items()
        for day in (0, 3, 7, 14)
    }

    after = after_each()
    assert found == {(code, meaning, day): after[meaning, day] for code, meaning, day in found}


@pytest.mark.parametrize("day", [0, 3, 7, 14])
@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ({}, "not known"),
        ({"code": ""}, "not known"),
        ({"code": "expired_card"}, "another card"),
        ({"code": "invoice_payment_intent_requires_action"}, "parent confirms"),
        ({"decline_code": "insufficient_funds", "advice_code": "do_not_try_again"}, "never again"),
        ({"decline_code": "stolen_card", "advice_code": "try_again_later"}, "never again"),
        ({"decline_code": "a_new_one", "advice_code": "try_again_later"}, "again later"),
        ({"decline_code": "do_not_honor", "network_advice_code": "01"}, "another card"),
        ({"decline_code": "do_not_honor", "network_advice_code": "21"}, "never again"),
    ],
)
def test_what_the_bank_advises(part, error, meaning, day):
    assert tried(part, error, day=day) == after_each()[meaning, day]


@pytest.mark.parametrize(
    ("network", "after"),
    [("24", 3), ("26", 3), ("27", 7), ("28", 7), ("29", 14), ("30", 14)],
)
def test_the_network_makes_the_next_try_wait(part, network, after):
    found = tried(part, {"decline_code": "do_not_honor", "network_advice_code": network}, day=0)

    assert found[0] == f"retry_wait day {after}"


def test_no_string_of_a_bank_breaks_a_charge(part):
    """Whatever it says, the charge ends in one of the rows of the table."""
    anything = st.one_of(st.none(), st.text(max_size=120), st.sampled_from(sorted(CLASS_BY_CODE)))
    names = ("code", "decline_code", "advice_code", "network_advice_code", "message", "charge")
    errors = st.fixed_dictionaries({}, optional=dict.fromkeys(names, anything))
    after = list(after_each().values())

    @effort(max_examples=40)
    @example(error={"decline_code": "\x00"}, day=0)
    @example(error={"code": "\ud800", "message": "\x00"}, day=0)
    @given(error=errors, day=st.sampled_from([0, 3, 7, 14]))
    def answer(error, day):
        assert tried(part, error, day=day) in after

    answer()
