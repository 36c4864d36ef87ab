"""Installments, charges and payments."""

import uuid

from django.db.models import F
from django.utils import timezone

from billing.models import Card, ChargeAttempt, ChargeAttemptTransition, Consent, Installment, Payment
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance, StaffTask
from notifications.models import EmailMessage
from tests.factories import create_card, create_order
from tests.planted.cards import waitlist_consent
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
    payments_of,
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


PLANTS = {
    "M1 tables of facts without their trigger": [no_trigger],
    "M3 orders whose installments do not add up to the total": [
        plan_too_short,
        order_without_installments,
        charged_after_the_class_was_given_up,
    ],
    "M4 installments that were paid twice": [paid_twice],
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
    "M12 installments charged too often": [charged_twice_a_day, charged_too_often],
    "M12 charges of a card that was refused for good before": [asked_after_a_hard_no],
    "M13 installments in a state that they cannot be in": [installment_that_jumped],
    "M13 charge attempts in a state that they cannot be in": [attempt_that_jumped, attempt_that_never_moved],
    "M14 installments paid without money, or with money and not paid": [
        paid_without_money,
        money_for_what_is_not_paid,
    ],
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
    "Y3 charges sent in quarantine": [charged_in_quarantine],
}
