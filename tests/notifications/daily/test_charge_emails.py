"""Emails about the charge of a saved card, and the link in them."""

import time

import pytest
from django.core import signing

from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.ledger.signed_links import installment_of, pay_link_path
from billing.models import ChargeAttempt, InstallmentStatus
from csf.dates import start_of_day
from notifications.sending.drain import drain
from tests.notifications.due_installments import DAY, create_part, mails
from tests.shop import order_with_plan, script


def charge(shop, part, *outcomes):
    """Charge it on its day, and again for as long as it is tried by itself."""
    script(shop, part, *outcomes)
    start_charges([InstallmentStatus.SCHEDULED], on=part.due_on)
    for _ in range(10):
        for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
            run_attempt(attempt_id)
        part.refresh_from_db()
        if part.status != "retry_wait":
            return
        start_charges([InstallmentStatus.RETRY_WAIT], on=part.next_try_on)


def test_four_declines_make_four_notices_and_the_last_is_final(shop):
    part = order_with_plan(shop)

    charge(shop, part, *["insufficient_funds"] * 4)

    due_on = part.due_on
    rows = list(mails("payment_failed").order_by("pk"))
    assert [(row.context["stage"], row.context["next_try_on"], row.context["is_final"]) for row in rows] == [
        (1, (due_on + 3 * DAY).isoformat(), False),
        (2, (due_on + 7 * DAY).isoformat(), False),
        (3, (due_on + 14 * DAY).isoformat(), False),
        (4, None, True),
    ]
    user = part.order.household.guardians.get()
    assert [row.dedupe_key for row in rows] == [
        f"payment_failed:attempt:{attempt.pk}:{user.pk}" for attempt in part.attempts.order_by("pk")
    ]
    assert {row.context["reason"] for row in rows} == {"The card did not have enough funds."}
    assert [row.expires_at for row in rows[:3]] == [start_of_day(due_on + n * DAY) for n in (3, 7, 14)]
    assert all(row.next_attempt_at <= row.created_at for row in rows)


@pytest.mark.parametrize("outcome", ["expired_card", "stolen_card"])
def test_a_card_that_is_not_tried_again(shop, outcome):
    part = order_with_plan(shop)

    charge(shop, part, outcome)

    context = mails("payment_failed").get().context
    assert (context["stage"], context["next_try_on"], context["is_final"]) == (1, None, False)
    assert "stolen" not in str(context)
    assert mails("authentication_needed").count() == 0


def test_a_bank_that_wants_the_parent_has_a_mail_of_its_own_until_it_is_paid(shop, mail_server):
    part = order_with_plan(shop)

    charge(shop, part, "authentication_required")

    assert mails("payment_failed").count() == 0
    mail = mails("authentication_needed").get()
    assert installment_of(mail.context["pay_path"].split("/")[2]) == part
    assert mail.context["amount_cents"] == part.amount_cents
    part.pay(reason="the parent confirmed")
    drain()
    mail.refresh_from_db()
    assert mail.status == "expired"


def test_a_decline_that_was_paid_meanwhile_is_not_told(shop, mail_server):
    part = order_with_plan(shop)
    charge(shop, part, "expired_card")
    part.pay(reason="at the office")

    drain()

    assert mails("payment_failed").get().status == "expired"


def test_a_receipt_says_what_comes_next(shop):
    part = order_with_plan(shop, parts=3)
    last = part.order.installments.get(number=3)

    first = mails("payment_success").get().context
    assert (first["number"], first["of"], first["next_due_on"]) == (1, 3, part.due_on.isoformat())
    charge(shop, part)

    second = mails("payment_success").latest("pk").context
    facts = [second[name] for name in ("number", "of", "left_cents", "next_due_on", "next_amount_cents")]
    assert facts == [2, 3, last.amount_cents, last.due_on.isoformat(), last.amount_cents]
    assert second["card_last4"] == "4242"
    charge(shop, last)

    third = mails("payment_success").latest("pk").context
    assert (third["left_cents"], third["next_due_on"], third["next_amount_cents"]) == (0, None, None)


@pytest.mark.django_db
def test_a_link_opens_its_installment_and_no_other_is_made_from_it():
    part = create_part()
    token = pay_link_path(part).split("/")[2]

    assert installment_of(token) == part
    for bad in ("", "x", token[:-1], token.replace(":", "."), signing.dumps(str(part.public_id))):
        with pytest.raises(signing.BadSignature):
            installment_of(bad)


@pytest.mark.django_db
def test_a_link_is_good_for_sixty_days(monkeypatch):
    token = pay_link_path(create_part()).split("/")[2]
    now = time.time()

    monkeypatch.setattr(signing.time, "time", lambda: now + 59 * 86_400)
    installment_of(token)
    monkeypatch.setattr(signing.time, "time", lambda: now + 61 * 86_400)
    with pytest.raises(signing.SignatureExpired):
        installment_of(token)
