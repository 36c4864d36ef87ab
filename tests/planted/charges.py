"""Installments, charges, saved cards and what Stripe tells of them."""

import uuid
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from billing.models import (
    BookDifference,
    Card,
    CardAgreement,
    ChargeAttempt,
    ChargeAttemptTransition,
    ComparedDay,
    Consent,
    Dispute,
    Installment,
    Payment,
    Refund,
    StripeCustomer,
    StripeEvent,
    WaitlistConsent,
)
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance, StaffTask
from notifications.models import EmailMessage
from tests.factories import create_card, create_order
from tests.planted.school import (
    DAY,
    HOUR,
    change,
    drop,
    family,
    guardian,
    move,
    order_of,
    part,
    places,
    sql,
    today,
    without_trigger,
)


def no_trigger():
    sql("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE billing_payment DISABLE TRIGGER csf_append_only")


# --- Installments -------------------------------------------------------------------------------------------


def plan_too_short():
    third = part("Dunned", 3)
    change(third, amount_cents=third.amount_cents - 1)


def order_without_installments():
    create_order(household=family("First")).installments.all().delete()


def charged_after_the_class_was_given_up():
    Installment.objects.create(order=order_of("Given"), number=2, due_on=today(), amount_cents=100)


def pay(order, installment=None, cents=100, **columns):
    values = {"currency": "usd", "received_at": timezone.now(), "amount_cents": cents}
    values |= {"stripe_payment_intent_id": f"pi_{uuid.uuid4().hex}"}
    return Payment.objects.create(order=order, installment=installment, **values | columns)


def paid_too_much():
    pay(order_of("Paid"))


def paid_twice():
    drop(Payment, "installment_id")
    first = part("Paid", 1)
    again = pay(first.order, first, first.amount_cents)
    StaffTask.open(MoneyTask.UNMATCHED_PAYMENT, again)


def paid_for_seats_that_are_gone():
    pay(order_of("Late"), cents=14400, created_at=Now() - HOUR)


def paid_without_money():
    without_trigger(Payment.objects.filter(installment=part("Paid", 2)), installment=None)


def money_for_what_is_not_paid():
    third = part("Dunned", 3)
    pay(third.order, third, third.amount_cents)


def installment_that_jumped():
    change(part("Dunned", 3), status="waived")


def due_for_a_month():
    change(part("Dunned", 3), due_on=today() - 40 * DAY)


def next_try_long_past():
    second = part("Dunned", 2)
    second.attempts.update(charged_on=today() - 10 * DAY)
    change(second, due_on=today() - 10 * DAY, next_try_on=today() - 5 * DAY)


# --- Charges ------------------------------------------------------------------------------------------------


def attempt(name, number, *path, ago=None, **columns):
    """On the saved card, asked for by staff today, with its history."""
    installment = part(name, number)
    card = Card.objects.filter(household=family(name)).first()
    values = {"kind": "staff", "card": card, "charged_on": today(), "amount_cents": installment.amount_cents}
    row = ChargeAttempt.objects.create(
        installment=installment,
        number=installment.attempts.count() + 1,
        currency="usd",
        **values | columns,
    )
    move(row, *path, ago=ago)
    return row


def charging(name, number):
    move(part(name, number), "charging", next_try_on=None)


def two_open_charges():
    drop(ChargeAttempt, "installment_id")
    charging("Dunned", 3)
    attempt("Dunned", 3)
    attempt("Dunned", 3)


def two_open_pages():
    for number in (2, 3):
        charging("Dunned", number)
        page = {"card": None, "charged_on": None, "session_expires_at": timezone.now() + HOUR}
        attempt("Dunned", number, "sending", "waiting", kind="checkout", **page)


def charges_with_one_key():
    drop(ChargeAttempt, "public_id")
    change(part("Dunned", 2).attempts.get(), public_id=part("Paid", 1).attempts.get().public_id)


def charged_another_amount():
    part("Paid", 2).attempts.update(amount_cents=F("amount_cents") + 1)


def charged_another_currency():
    part("Paid", 2).attempts.update(currency="eur")


def charging_another_amount():
    charging("Dunned", 3)
    attempt("Dunned", 3, amount_cents=1)


def payments_of(name):
    return Payment.objects.filter(order=order_of(name))


def paid_another_amount():
    payment = payments_of("Paid").order_by("pk")[0]
    without_trigger(Payment.objects.filter(pk=payment.pk), amount_cents=payment.amount_cents - 1)
    email = EmailMessage.objects.get(kind="payment_success", fact_id=payment.pk)
    change(email, context=email.context | {"amount_cents": payment.amount_cents - 1})


def paid_another_currency():
    without_trigger(payments_of("Paid"), currency="eur")


def payment_of_another_order():
    payment = payments_of("Paid").order_by("pk")[1]
    without_trigger(Payment.objects.filter(pk=payment.pk), order=order_of("Unpaid"))
    other = guardian("Unpaid")
    EmailMessage.objects.filter(kind="payment_success", fact_id=payment.pk).update(
        recipient=other, to=other.email
    )


def owed_in_another_currency():
    change(order_of("Dunned"), currency="eur")
    without_trigger(payments_of("Dunned"), currency="eur")
    ChargeAttempt.objects.filter(installment__order=order_of("Dunned")).update(currency="eur")


def charged_too_early():
    second = part("Paid", 2)
    second.attempts.update(charged_on=second.due_on - DAY)


def charged_without_consent():
    change(part("Paid", 2), consent=None)


def charged_under_anothers_consent():
    change(part("Paid", 2), consent=part("Dunned", 2).consent)


def charged_more_than_was_agreed_on_the_waitlist():
    without_trigger(Consent.objects.filter(order=order_of("Paid")), plan=None)
    waitlist_consent("Paid", at_most_cents=1)


def waitlist_consent(name, **columns):
    values = {"text": "I agree", "text_version": "1", "given_at": timezone.now(), "at_most_cents": 14400}
    place = places(name)[0]
    return WaitlistConsent.objects.create(enrollment=place, given_by=guardian(name), **values | columns)


def charged_while_paused():
    change(order_of("Dunned"), charges_paused_at=Now() - HOUR)


def charged_after_its_end():
    order = order_of("Late")
    create_card(order)
    change(
        part("Late", 1),
        consent=Consent.objects.create(order=order, given_by=guardian("Late"), given_at=Now()),
    )
    attempt("Late", 1, "sending", "declined", created_at=Now() + HOUR)


def charged_twice_a_day():
    drop(ChargeAttempt, "charged_on")
    first = part("Dunned", 2).attempts.get()
    attempt("Dunned", 2, "sending", "declined", kind="auto", charged_on=first.charged_on)


def charged_too_often():
    due_on = part("Dunned", 2).due_on
    for days in range(1, 5):
        attempt("Dunned", 2, "sending", "declined", kind="auto", charged_on=due_on + days * DAY)


def asked_after_a_hard_no():
    Card.objects.filter(household=family("Dunned")).update(refused_at=Now() - DAY)


def attempt_that_jumped():
    part("Dunned", 2).attempts.update(status="rejected")


def attempt_that_never_moved():
    attempt("Dunned", 3)
    part("Dunned", 3).attempts.update(status="not_executed")


def sent_without_an_answer():
    charging("Dunned", 3)
    attempt("Dunned", 3, "sending", ago=2 * HOUR, created_at=Now() - 2 * HOUR)


def outcome_unknown():
    charging("Dunned", 3)
    attempt("Dunned", 3, "sending", "unknown", ago=2 * HOUR, created_at=Now() - 2 * HOUR)


def never_sent():
    charging("Dunned", 3)
    attempt("Dunned", 3, created_at=Now() - 3 * DAY)


def page_long_over():
    part("Unpaid", 1).attempts.update(session_expires_at=Now() - 2 * DAY)


def parked_in_silence():
    charging("Dunned", 3)
    attempt("Dunned", 3, "sending", "unknown", "parked", ago=4 * DAY, created_at=Now() - 4 * DAY)


def charging_without_a_charge():
    charging("Dunned", 3)


def charged_in_quarantine():
    Instance.begin()
    Instance.objects.update(quarantined_at=Now() + HOUR)
    attempt("Dunned", 3)
    row = part("Dunned", 3).attempts.get()
    charging("Dunned", 3)
    ChargeAttemptTransition.objects.create(
        chargeattempt=row, from_status="created", to_status="sending", created_at=Now() + 2 * HOUR
    )
    change(row, status="sending")


# --- Cards --------------------------------------------------------------------------------------------------


def agreement():
    return CardAgreement.objects.get(order=order_of("Paid"))


def card_not_agreed_for_its_order():
    change(agreement(), order=create_order(household=family("Paid")))


def card_of_another_family():
    row = agreement()
    change(row.card, household=family("First"))
    change(row, agreed_by=guardian("First"))


def agreed_for_an_order_of_another_family():
    row = agreement()
    order = order_of("Unpaid")
    CardAgreement.objects.create(order=order, card=row.card, agreed_by=row.agreed_by, agreed_at=Now())


def agreed_for_a_place_of_another_family():
    row = agreement()
    consent = waitlist_consent("Unpaid")
    CardAgreement.objects.create(
        waitlist_consent=consent, card=row.card, agreed_by=row.agreed_by, agreed_at=Now()
    )


def agreed_by_another_family():
    change(agreement(), agreed_by=guardian("Unpaid"))


def two_cards_for_an_order():
    drop(CardAgreement, "(order_id)")
    row = agreement()
    CardAgreement.objects.create(order=row.order, card=row.card, agreed_by=row.agreed_by, agreed_at=Now())


def two_cards_for_a_place():
    drop(CardAgreement, "(waitlist_consent_id)")
    row, consent = agreement(), waitlist_consent("Paid")
    for _ in range(2):
        CardAgreement.objects.create(
            waitlist_consent=consent, card=row.card, agreed_by=row.agreed_by, agreed_at=Now()
        )


def replaced_card_that_pays():
    change(agreement().card, replaced_at=Now())


# --- Stripe -------------------------------------------------------------------------------------------------


def one_id_on_two_rows(model, column, **others):
    """A plant: the id of the newest row stands on the one before it as well."""

    def plant():
        drop(model, column)
        newest, before = model.objects.order_by("-pk")[:2]
        value = f"id_{uuid.uuid4().hex}"
        rows = model.objects.filter(pk__in=[newest.pk, before.pk])
        if getattr(model, "IS_APPEND_ONLY", False):
            without_trigger(rows, **{column: value}, **others)
        else:
            rows.update(**{column: value}, **others)

    plant.__name__ = f"one_{column}_on_two_rows_of_{model.__name__}"
    return plant


def another_card():
    card = agreement().card
    Card.objects.create(household=card.household, stripe_payment_method_id="pm_other")
    one_id_on_two_rows(Card, "stripe_payment_method_id")()


def another_refund():
    made = Refund.objects.get()
    columns = {"amount_cents": 1, "currency": "usd", "method": "stripe", "cause": "dashboard", "reason": "-"}
    for _ in range(2):
        Refund.objects.create(
            order=order_of("Paid"), payment=payments_of("Paid")[0], status="external", **columns
        )
    assert made.stripe_refund_id
    one_id_on_two_rows(Refund, "stripe_refund_id")()


def another_dispute():
    found = Dispute.objects.get()
    drop(Dispute, "stripe_id")
    again = Dispute.objects.create(
        stripe_id=found.stripe_id,
        payment=found.payment,
        amount_cents=1,
        currency="usd",
        status="won",
        opened_at=Now(),
        closed_at=Now(),
    )
    StaffTask.open(MoneyTask.DISPUTE_DECIDED, again)


def books_differ():
    BookDifference.objects.create(subject="payment", stripe_id="pi_1", theirs="14400 usd")


def books_not_compared():
    ComparedDay.objects.create(day=today() - 2 * DAY, compared_at=Now() - timedelta(hours=30))


def event_parked_in_silence():
    StripeEvent.objects.filter(pk=StripeEvent.objects.earliest("pk").pk).update(status="parked")


def event_left_lying():
    StripeEvent.objects.filter(pk=StripeEvent.objects.earliest("pk").pk).update(
        status="received", received_at=Now() - 3 * DAY, finished_at=None
    )


PLANTS = {
    "M1 tables of facts without their trigger": [no_trigger],
    "M3 orders whose installments do not add up to the total": [
        plan_too_short,
        order_without_installments,
        charged_after_the_class_was_given_up,
    ],
    "M4 installments that were paid twice": [paid_twice],
    "M5 Stripe ids that several rows share": [
        one_id_on_two_rows(Installment, "stripe_invoice_id"),
        one_id_on_two_rows(ChargeAttempt, "stripe_session_id"),
        one_id_on_two_rows(ChargeAttempt, "stripe_charge_id"),
        one_id_on_two_rows(Payment, "stripe_payment_intent_id"),
        one_id_on_two_rows(Payment, "stripe_invoice_id"),
        one_id_on_two_rows(StripeCustomer, "stripe_id"),
        one_id_on_two_rows(StripeEvent, "stripe_id"),
        another_card,
        another_refund,
        another_dispute,
    ],
    "M6 installments with two open attempts": [two_open_charges],
    "M6 orders with two open payment pages": [two_open_pages],
    "M7 charges that share a key": [charges_with_one_key],
    "M8 orders paid above what is owed, without a refund or a staff task": [paid_too_much],
    "M9 charges of another amount or currency": [
        charged_another_amount,
        charged_another_currency,
        charging_another_amount,
    ],
    "M9 payments of another amount or currency than their installment": [
        paid_another_amount,
        paid_another_currency,
    ],
    "M9 payments of another order than their installment": [payment_of_another_order],
    "M9 installments owed in another currency than the school's": [owed_in_another_currency],
    "M11 automatic charges before the due date or without consent": [
        charged_too_early,
        charged_without_consent,
        charged_under_anothers_consent,
        charged_more_than_was_agreed_on_the_waitlist,
    ],
    "M11 charges begun after they were stopped": [charged_while_paused, charged_after_its_end],
    "M11 charges of a card that was not agreed for their order": [card_not_agreed_for_its_order],
    "M11 cards that pay for another family": [
        card_of_another_family,
        agreed_for_an_order_of_another_family,
        agreed_for_a_place_of_another_family,
    ],
    "M11 cards agreed to by a member of another family": [agreed_by_another_family],
    "M11 orders and places with two current cards": [two_cards_for_an_order, two_cards_for_a_place],
    "M11 cards that were replaced and still pay": [replaced_card_that_pays],
    "M12 installments charged too often": [charged_twice_a_day, charged_too_often],
    "M12 charges of a card that was refused for good before": [asked_after_a_hard_no],
    "M13 installments in a state that they cannot be in": [installment_that_jumped],
    "M13 charge attempts in a state that they cannot be in": [attempt_that_jumped, attempt_that_never_moved],
    "M14 installments paid without money, or with money and not paid": [
        paid_without_money,
        money_for_what_is_not_paid,
    ],
    "M16 differences between our books and Stripe's": [books_differ],
    "M16 books not compared with Stripe's for a day": [books_not_compared],
    "S7 payments of expired orders that no one refunds": [paid_for_seats_that_are_gone],
    "Y1 installments due for a month and not charged": [due_for_a_month],
    "Y1 installments whose next try is days overdue": [next_try_long_past],
    "Y1 charges without an outcome for an hour, and no staff task": [
        sent_without_an_answer,
        outcome_unknown,
    ],
    "Y1 charges not sent for two days": [never_sent],
    "Y1 payment pages that ended over a day ago and count as open": [page_long_over],
    "Y1 parked charges without a staff task": [parked_in_silence],
    "Y1 installments being charged without an attempt": [charging_without_a_charge],
    "Y2 parked events without a staff task": [event_parked_in_silence],
    "Y2 events waiting for two days": [event_left_lying],
    "Y3 charges sent in quarantine": [charged_in_quarantine],
}
