"""A staff task closes by itself once its cause is gone, and not before: for every kind."""

from datetime import date

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import (
    BookDifference,
    Cancellation,
    Card,
    ChargeAttempt,
    Closure,
    ClosureLine,
    Dispute,
    Payment,
    Refund,
    StripeEvent,
)
from billing.stripe import secret_key
from billing.task_kinds import MoneyTask
from csf.models import Breaker, JobRun, OperationTask, StaffTask, staff_task_kinds
from csf.staff.tasks import BY_A_PERSON, close_settled, kinds, subjects_in_words
from enrollments.models import User
from notifications.models import DrainSignal, EmailMessage, Suppression
from notifications.task_kinds import EmailTask
from tests.factories import create_course, create_guardian, create_household, create_order, create_staff

pytestmark = pytest.mark.django_db


def installment(status):
    order = create_order()
    order.confirm(reason="paid")
    part = order.installments.get()
    type(part).objects.filter(pk=part.pk).update(status=status)
    return part


def held():
    part = installment("scheduled")
    type(part).objects.filter(pk=part.pk).update(held_at=timezone.now())
    return part


def attempt(status):
    part = installment("exhausted")
    return ChargeAttempt.objects.create(
        installment=part, number=1, kind="auto", amount_cents=100, currency="usd", status=status
    )


def payment():
    return Payment.objects.create(
        order=create_order(), amount_cents=100, currency="usd", method="cash", received_at=timezone.now()
    )


def refund(status, of=None, cents=100):
    of = of or payment()
    money = {"amount_cents": cents, "currency": "usd", "method": "cash"}
    return Refund.objects.create(
        order=of.order, payment=of, cause="staff", reason="x", status=status, **money
    )


def suppression(cause):
    address = create_order().household.guardians.get().email
    return Suppression.objects.create(address=address, scope="all", cause=cause)


def email(status="failed", to="x@example.org"):
    return EmailMessage.objects.create(
        kind="order_confirmation",
        to=to,
        fact_id=1,
        dedupe_key=f"k{EmailMessage.objects.count()}",
        context={},
        status=status,
    )


def to_suppressed(cause):
    return email("sent", to=suppression(cause).address)


def closure_line():
    order = create_order()
    closure = Closure.objects.create(course=create_course(), terms="credit", reason="x", by=order.placed_by)
    place = order.items.get().enrollment
    return ClosureLine.objects.create(closure=closure, enrollment=place, status="failed")


def dispute(of=None):
    money = {"amount_cents": 100, "currency": "usd"}
    return Dispute.objects.create(
        stripe_id="dp_1", payment=of or payment(), status="x", opened_at=timezone.now(), **money
    )


def cancellation():
    order = create_order()
    facts = {"reason": "x", "terms": "credit", "value_cents": 1, "requested_at": timezone.now()}
    place = order.items.get().enrollment
    return Cancellation.objects.create(order=order, enrollment=place, by=order.placed_by, **facts)


def event():
    return StripeEvent.objects.create(stripe_id="e", type="x", livemode=False, body="{}", status="parked")


def card():
    return Card.objects.create(household=create_household(), stripe_payment_method_id="pm")


def again(row, cents=100):
    refund("requested", of=row.payment, cents=cents)


def again_in_two_parts(row):
    again(row, 60)
    assert close_settled() == 0
    again(row, 40)


def status(to):
    return lambda row: type(row).objects.filter(pk=row.pk).update(status=to)


def pay(row):
    part = getattr(row, "installment", row)
    type(part).objects.filter(pk=part.pk).update(status="paid")


def lift(row):
    Suppression.objects.in_force().lift(reason="a new address", by=create_staff())


def new_address(row):
    User.objects.filter(email=row.address).update(email="new@example.org")


def shut_out():
    household = create_household()
    household.guardians.update(is_active=False)
    return household


def refused_key():
    secret_key.refused("no")
    return Breaker.objects.get()


def settle(row):
    figures = {"stopped_cents": 0, "refund_cents": 0, "credit_cents": 0}
    type(row).objects.filter(pk=row.pk).update(status="settled", **figures)


def end(row):
    type(row).objects.filter(pk=row.pk).update(closed_at=timezone.now())


CAUSES = [
    (MoneyTask.UNMATCHED_PAYMENT, payment, lambda row: refund("requested", of=row)),
    (MoneyTask.EVENT_PARKED, event, status("processed")),
    (EmailTask.EMAIL_FAILED, email, status("sent")),
    (EmailTask.EMAIL_BOUNCED, lambda: to_suppressed("bounced"), lift),
    (EmailTask.EMAIL_COMPLAINED, lambda: to_suppressed("complained"), lift),
    (EmailTask.EMAIL_SUPPRESSED, lambda: suppression("bounced"), lift),
    (EmailTask.EMAIL_SUPPRESSED, lambda: suppression("bounced"), new_address),
    (EmailTask.NOBODY_TO_NOTIFY, shut_out, lambda row: create_guardian(household=row)),
    (EmailTask.EMAIL_UNKNOWN, lambda: email("unknown"), status("sent")),
    (MoneyTask.CHARGE_UNKNOWN, lambda: attempt("unknown"), status("succeeded")),
    (MoneyTask.CHARGE_UNKNOWN, lambda: attempt("parked"), status("not_executed")),
    (MoneyTask.CARD_UNKNOWN, card, lambda row: type(row).objects.update(replaced_at=timezone.now())),
    (MoneyTask.CARD_REFUSED, lambda: installment("needs_card"), pay),
    (MoneyTask.CARD_REFUSED, lambda: installment("needs_card"), status("charging")),
    (MoneyTask.DECLINE_TO_LOOK_AT, lambda: attempt("declined"), pay),
    (MoneyTask.INSTALLMENT_LATE, lambda: installment("scheduled"), status("waived")),
    (MoneyTask.INSTALLMENT_EXHAUSTED, lambda: installment("exhausted"), status("scheduled")),
    (MoneyTask.CHARGE_REJECTED, lambda: installment("exhausted"), pay),
    (MoneyTask.CHARGE_REJECTED, lambda: attempt("rejected"), pay),
    (MoneyTask.CHARGE_REJECTED, create_order, status("expired")),
    (MoneyTask.CHARGE_REJECTED, create_order, lambda row: row.installments.update(status="paid")),
    (MoneyTask.INVOICE_ENDED, held, pay),
    (MoneyTask.INVOICE_ENDED, held, lambda row: type(row).objects.update(held_at=None)),
    (MoneyTask.REFUND_TO_APPROVE, lambda: refund("requested"), status("approved")),
    (MoneyTask.REFUND_FAILED, lambda: refund("failed"), again),
    (MoneyTask.REFUND_FAILED, lambda: refund("failed"), again_in_two_parts),
    (MoneyTask.REFUND_FAILED, lambda: refund("failed"), status("succeeded")),
    (MoneyTask.REFUND_UNKNOWN, lambda: refund("unknown"), status("succeeded")),
    (MoneyTask.CANCELLATION_WAITING, cancellation, settle),
    (MoneyTask.DISPUTE, dispute, end),
    (MoneyTask.FRAUD_WARNING, payment, lambda row: refund("requested", of=row)),
    (MoneyTask.FRAUD_WARNING, payment, lambda row: dispute(of=row)),
    (MoneyTask.WAITLIST_CHARGE, create_order, status("expired")),
    (MoneyTask.CLOSURE_LINE, closure_line, status("done")),
    (MoneyTask.STRIPE_KEY_REFUSED, refused_key, lambda row: secret_key.accepted()),
    (MoneyTask.BOOKS_DIFFER, lambda: BookDifference.objects.create(subject="payment", stripe_id="pi"), end),
]
PEOPLE = [
    (MoneyTask.REFUND_BY_SYSTEM, lambda: refund("approved"), status("succeeded")),
    (MoneyTask.REFUND_EXTERNAL, lambda: refund("external"), status("failed")),
    (MoneyTask.DISPUTE_DECIDED, dispute, end),
    (OperationTask.JOB_SILENT, lambda: JobRun.objects.create(job="x", on=date(2026, 1, 1)), status("done")),
    (EmailTask.EMAIL_SENDER_BLOCKED, lambda: DrainSignal.objects.get_or_create(pk=1)[0], lambda row: None),
    (EmailTask.EMAIL_WITHOUT_FILE, email, status("sent")),
    (EmailTask.EMAILS_WITHHELD, email, status("withheld")),
]


@pytest.mark.parametrize(("kind", "make", "remove"), CAUSES, ids=[row[0] for row in CAUSES])
def test_a_task_closes_by_itself_when_its_cause_is_gone_and_not_before(client, kind, make, remove):
    row = make()
    StaffTask.open(kind, row)

    assert close_settled() == 0
    remove(row)
    assert (close_settled(), close_settled()) == (1, 0)

    task = StaffTask.objects.get(kind=kind)
    assert (task.closed_by, task.closed_because) == (None, "Its cause is gone.")
    client.force_login(create_staff())
    assert "Its cause is gone." in client.get(reverse("admin:csf_stafftask_change", args=[task.pk])).text


@pytest.mark.parametrize(("kind", "make", "change"), PEOPLE, ids=[row[0] for row in PEOPLE])
def test_what_only_a_person_can_decide_stays_open(kind, make, change):
    row = make()
    StaffTask.open(kind, row)
    change(row)

    assert close_settled() == 0
    assert StaffTask.objects.open().filter(kind=kind).exists()


def test_every_kind_says_when_it_is_over():
    assert kinds() == {kind for kind, _ in staff_task_kinds()} == {kind for kind, _, _ in [*CAUSES, *PEOPLE]}
    assert set(BY_A_PERSON) == {kind for kind, _, _ in PEOPLE}


def test_a_task_about_many_rows_closes_with_the_last_of_them():
    EmailMessage.report_failed("order_confirmation", "TemplateDoesNotExist")
    rows = [email(), email()]

    closed = []
    for row in rows:
        closed.append(close_settled())
        status("sent")(row)

    assert (closed, close_settled()) == ([0, 0], 1)


def test_the_sweep_takes_few_statements_whatever_there_is(django_assert_max_num_queries):
    for _ in range(5):
        StaffTask.open(MoneyTask.CARD_REFUSED, installment("needs_card"))

    with django_assert_max_num_queries(4):
        assert close_settled() == 0


def test_the_list_names_what_a_task_is_about_in_one_statement_a_model(client, django_assert_num_queries):
    client.force_login(create_staff())
    refunds, orders = [refund("requested") for _ in range(3)], [create_order() for _ in range(3)]
    for row in [*refunds, *orders]:
        StaffTask.open(MoneyTask.REFUND_TO_APPROVE, row)
    gone = event()
    StaffTask.open(MoneyTask.EVENT_PARKED, gone)
    gone.delete()
    EmailMessage.report_failed("payment_success", "TemplateDoesNotExist")
    tasks = list(StaffTask.objects.order_by("pk"))

    with django_assert_num_queries(3):
        words = list(subjects_in_words(tasks).values())

    assert sorted(words) == sorted(
        [f"Refund of $1.00 for Order {row.order.number}" for row in refunds]
        + [f"Order {row.number}" for row in orders]
        + [tasks[6].subject, "emails: payment success, failed"]
    )
    page = client.get(reverse("admin:csf_stafftask_changelist")).content.decode()
    assert all(text in page for text in words)
