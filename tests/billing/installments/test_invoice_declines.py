"""A decline on Stripe's page of an invoice: an attempt that is born declined, its email, and nothing else."""

import itertools
import random
from datetime import timedelta

import pytest
import requests
from django.db import connection
from django.utils import timezone

from billing.installments import hosted_declines, outcomes
from billing.installments.attempts import run_attempt
from billing.installments.charging import recover_charges
from billing.installments.dunning import start_charges
from billing.models import Card, ChargeAttempt, Installment
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from tests.hosted_page import invoice_page
from tests.shop import DUE, NO_MONEY, VISA, hear, money_moved, order_with_plan, script
from tests.stripe_events import deliver, work_off_inbox

DECLINED = ("invoice.payment_failed", "invoice.payment_action_required")
LOST = "4000000000009987"


def charge():
    for attempt_id in ChargeAttempt.objects.on_saved_cards().waiting().values_list("pk", flat=True):
        run_attempt(attempt_id)


def attempts_of(installment):
    return [(attempt.kind, attempt.status) for attempt in installment.attempts.all()]


def failure_mails():
    return list(EmailMessage.objects.filter(kind="payment_failed").order_by("pk"))


def state(installment):
    installment.refresh_from_db()
    return (
        installment.status,
        installment.next_try_on,
        [row.to_status for row in installment.transitions.all()],
    )


def page_of(installment):
    return invoice_page(Installment.objects.get(pk=installment.pk))


def declined(page, **form):
    assert requests.post(page, data=form, allow_redirects=False, timeout=60).status_code == 402


def decline_on_page(installment, card=NO_MONEY):
    page = page_of(installment)
    declined(page, card=card)
    return page


def test_a_decline_on_the_page_is_told_once_and_changes_nothing_else(shop):
    installment = order_with_plan(shop)
    before = state(installment)
    decline_on_page(installment)

    for event in shop.events("invoice.payment_failed") * 3:
        deliver(event | {"id": f"{event['id']}{random.randrange(10**9)}"})
        work_off_inbox()

    [attempt] = installment.attempts.all()
    [row] = attempt.transitions.all()
    [charge_id] = [row["id"] for row in shop.server.books()["charges"] if not row["succeeded"]]
    assert (attempt.kind, attempt.status, attempt.stripe_charge_id, attempt.card) == (
        "hosted",
        "declined",
        charge_id,
        None,
    )
    assert (attempt.decline_code, attempt.decline_class, attempt.card_last4, row.reason) == (
        "insufficient_funds",
        "soft",
        "9995",
        "insufficient_funds",
    )
    assert state(installment) == before
    assert not StaffTask.objects.exists()
    assert violations() == []
    [mail] = failure_mails()
    assert mail.next_attempt_at - mail.created_at == timedelta(minutes=10)
    told = {name: mail.context[name] for name in ("on_page", "charge_on", "reason", "card_last4")}
    assert told == {
        "on_page": True,
        "charge_on": installment.due_on.isoformat(),
        "reason": "The card did not have enough funds.",
        "card_last4": "9995",
    }


def send_all_mails(mail_server):
    EmailMessage.objects.update(next_attempt_at=timezone.now())
    drain()


def test_it_is_not_told_if_the_parent_pays_meanwhile_and_only_the_last_of_several_is(shop, mail_server):
    paid, unpaid = order_with_plan(shop), order_with_plan(shop)
    page = decline_on_page(paid)
    hear(shop, *DECLINED)
    shop.pay(page, VISA)
    hear(shop, "invoice.paid")
    for card in (LOST, NO_MONEY):
        decline_on_page(unpaid, card)
        hear(shop, *DECLINED)

    send_all_mails(mail_server)

    assert attempts_of(paid) == [("hosted", "declined")]
    assert attempts_of(unpaid) == [("hosted", "declined")] * 2
    last = unpaid.attempts.last()
    sent = {mail.fact_id: mail.status for mail in failure_mails()}
    assert [status for status in sent.values() if status == "sent"] == ["sent"]
    assert sent[last.transitions.get().pk] == "sent"
    assert violations() == []


def charge_and_be_declined(shop, monkeypatch):
    """Two installments; Stripe's event about the first comes while our call waits for its answer."""
    during, after = order_with_plan(shop), order_with_plan(shop)
    pay = gateway.pay_invoice

    def answer_late(invoice_id, **options):
        try:
            return pay(invoice_id, **options)
        finally:
            if Installment.objects.get(stripe_invoice_id=invoice_id) == during:
                hear(shop, *DECLINED)

    monkeypatch.setattr(gateway, "pay_invoice", answer_late)
    script(shop, during, "insufficient_funds")
    script(shop, after, "insufficient_funds")
    start_charges(DUE, on=during.due_on)
    charge()
    hear(shop, *DECLINED)
    return during, after


def test_our_own_decline_is_no_second_attempt_whenever_its_event_comes(shop, monkeypatch):
    for installment in charge_and_be_declined(shop, monkeypatch):
        assert attempts_of(installment) == [("auto", "declined")]
        assert state(installment)[:2] == ("retry_wait", installment.due_on + timedelta(days=3))
    assert len(failure_mails()) == 2
    assert not StaffTask.objects.exists()


def test_without_the_look_at_open_attempts_it_would_be_one(shop, monkeypatch):
    monkeypatch.setattr(hosted_declines, "_is_being_charged", lambda installment: False)
    monkeypatch.setattr(outcomes, "after_decline", lambda attempt, decline: None)
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX billing_chargeattempt_one_open")

    during, _ = charge_and_be_declined(shop, monkeypatch)

    assert attempts_of(during) == [("auto", "sending"), ("hosted", "declined")]


def test_the_event_wakes_the_resolver_of_a_charge_whose_answer_was_lost(shop):
    installment = order_with_plan(shop)
    script(shop, installment, "insufficient_funds")
    start_charges(DUE, on=installment.due_on)
    shop.server.control(
        "POST", "/_faults", [{"path": "/v1/invoices/*/pay", "method": "POST", "kind": "drop_after"}]
    )
    charge()
    shop.server.control("DELETE", "/_faults")
    assert attempts_of(installment) == [("auto", "unknown")]
    charge()
    assert attempts_of(installment) == [("auto", "unknown")]

    hear(shop, *DECLINED)
    charge()
    hear(shop, *DECLINED)

    assert attempts_of(installment) == [("auto", "declined")]
    assert len(failure_mails()) == 1


@pytest.mark.parametrize("lost", ["answer", "order"])
def test_a_lost_decline_is_found_even_if_the_charge_is_not_wanted_any_more(shop, lost):
    """Else its event would make a second attempt out of it."""
    installment = order_with_plan(shop)
    script(shop, installment, "insufficient_funds")
    start_charges(DUE, on=installment.due_on)
    fault = {"path": "/v1/invoices/*/pay", "method": "POST", "kind": "drop_after"}
    shop.server.control("POST", "/_faults", [fault])
    charge()
    shop.server.control("DELETE", "/_faults")
    if lost == "order":
        type(installment.order).objects.update(charges_paused_at=timezone.now())
    else:  # too old for its key
        ChargeAttempt.objects.on_saved_cards().update(created_at=timezone.now() - timedelta(hours=24))
    recover_charges()
    ChargeAttempt.objects.on_saved_cards().update(next_look_at=timezone.now())

    charge()
    hear(shop, *DECLINED)

    assert attempts_of(installment) == [("auto", "declined")]


def test_an_attempt_that_never_reached_the_bank_does_not_take_the_decline_of_the_page_for_its_own(shop):
    installment = order_with_plan(shop)
    card = Card.objects.get()
    page = page_of(installment)
    script(shop, installment, "insufficient_funds")
    declined(page, saved=card.stripe_payment_method_id)
    hear(shop, *DECLINED)
    start_charges(DUE, on=installment.due_on)
    fault = {"path": "/v1/invoices/*/pay", "method": "POST", "kind": "drop_before"}
    shop.server.control("POST", "/_faults", [fault])
    charge()
    shop.server.control("DELETE", "/_faults")
    old = timezone.now() - timedelta(hours=24)
    ChargeAttempt.objects.on_saved_cards().update(created_at=old, next_look_at=timezone.now())

    charge()

    assert attempts_of(installment) == [("hosted", "declined"), ("auto", "not_executed")]
    assert state(installment)[0] == "retry_wait"


@pytest.mark.parametrize(("saved", "refused"), [(True, True), (False, False)])
def test_a_hard_decline_there_ends_the_saved_card_only_if_it_was_that_one(shop, saved, refused):
    installment = order_with_plan(shop)
    before = state(installment)
    card = Card.objects.get()
    page = page_of(installment)
    if saved:
        script(shop, installment, "lost_card")
        declined(page, saved=card.stripe_payment_method_id)
    else:
        declined(page, card=LOST)

    hear(shop, *DECLINED)

    card.refresh_from_db()
    assert (card.refused_at is not None) is refused
    assert attempts_of(installment) == [("hosted", "declined")]
    assert state(installment) == before
    [mail] = failure_mails()
    assert (mail.context["charge_on"] is None) is refused
    assert violations() == []


def test_in_every_order_of_events_there_is_one_payment_and_one_attempt_a_decline(shop):
    for order in itertools.permutations(range(3)):
        installment = order_with_plan(shop)
        page = decline_on_page(installment)
        hear(shop, *DECLINED)
        shop.pay(page, VISA)
        events = [
            event
            for event in shop.events("invoice.payment_failed", "invoice.paid", "payment_intent.succeeded")
            if event["data"]["object"].get("metadata", {}).get("installment") == str(installment.public_id)
            or event["data"]["object"]["object"] == "payment_intent"
        ][-3:]
        for index in order:
            deliver(events[index])
            work_off_inbox()

        assert attempts_of(installment) == [("hosted", "declined")]
        assert state(installment)[0] == "paid"
        assert money_moved(shop, installment) == [installment.amount_cents]
    assert violations() == []
