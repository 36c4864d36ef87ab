"""Owing emails: once for each fact, in the transaction of the fact, and never at its cost."""

import uuid
from collections import Counter
from dataclasses import replace

import pytest
from django.core import serializers
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from billing.checkout.place_order import place_order
from billing.models import Payment
from csf.models import StaffTask
from enrollments.models import EnrollmentTransition
from notifications import outbox
from notifications.models import DrainSignal, EmailMessage
from notifications.outbox import kick_drain, notify
from notifications.registry import EMAILS
from orders.models import Order, OrderTransition
from tests.factories import create_cart, create_course, create_household, create_order


def pay(order):
    part = order.installments.get()
    Payment.objects.create(
        order=order,
        installment=part,
        amount_cents=part.amount_cents,
        currency="usd",
        stripe_payment_intent_id=f"pi_{order.pk}",
        received_at=timezone.now(),
    )
    order.confirm(reason="paid")


def owed():
    return Counter(EmailMessage.objects.values_list("kind", "status"))


@pytest.mark.django_db
def test_each_fact_owes_its_email_once():
    order = create_order(courses=[create_course(), create_course()])
    assert owed() == {("order_confirmation", "queued"): 1}

    pay(order)
    notify("payment_success", order.payments.all())

    assert owed() == {
        ("order_confirmation", "queued"): 1,
        ("payment_success", "queued"): 1,
        ("enrollment_confirmation", "queued"): 2,
    }
    guardian = order.household.guardians.get()
    assert set(EmailMessage.objects.values_list("recipient", "to")) == {(guardian.pk, guardian.email)}
    assert set(EmailMessage.objects.filter(kind="payment_success").values_list("fact_id", "dedupe_key")) == {
        (payment.pk, f"payment_success:payment:{payment.pk}:{guardian.pk}")
        for payment in Payment.objects.all()
    }


@pytest.mark.django_db
def test_telling_a_fact_again_adds_nothing_and_changes_nothing():
    create_order()
    before = EmailMessage.objects.values().get()

    notify("order_confirmation", OrderTransition.objects.filter(to_status="placed"))

    assert EmailMessage.objects.values().get() == before


def test_a_checkout_that_is_rolled_back_owes_nothing(committed_db):
    order = create_cart()

    with transaction.atomic():
        place_order(order=order, by=order.household.guardians.get(), now=timezone.now())
        assert owed() == {("order_confirmation", "queued"): 1}
        transaction.set_rollback(True)

    assert (owed(), OrmQ.objects.count(), DrainSignal.objects.get().is_pending) == (Counter(), 0, False)


def test_a_thousand_kicks_queue_one_task(committed_db):
    order = create_order()
    assert (OrmQ.objects.count(), DrainSignal.objects.get().is_pending) == (1, True)

    pay(order)
    for _ in range(1000):
        kick_drain()

    assert OrmQ.objects.count() == 1


def test_a_kick_whose_task_cannot_be_queued_costs_the_order_nothing_and_leaves_no_signal(
    committed_db, monkeypatch, caplog
):
    monkeypatch.setattr(outbox, "enqueue", lambda task: 1 / 0)

    create_order()

    assert owed() == {("order_confirmation", "queued"): 1}
    assert not DrainSignal.objects.get().is_pending
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.django_db
@pytest.mark.parametrize("trouble", ["a bug", "a failing query"])
def test_a_failing_snapshot_fails_its_email_and_no_order(monkeypatch, trouble):
    def snapshot(fact):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / %s", [0 if trouble == "a failing query" else 1])
        raise KeyError("fact")

    spec = replace(EMAILS["order_confirmation"], snapshot=snapshot)
    monkeypatch.setitem(EMAILS, "order_confirmation", spec)

    order = create_order()

    assert Order.objects.get().status == "placed"
    message = EmailMessage.objects.get()
    fact = OrderTransition.objects.get(order=order, to_status="placed")
    assert (message.status, message.context, message.fact_id) == ("failed", {}, fact.pk)
    assert [(t.kind, t.subject) for t in StaffTask.objects.all()] == [
        (
            "email_failed",
            "notifications.emailmessage?kind__exact=order_confirmation&status__exact=failed",
        )
    ]


@pytest.mark.django_db
def test_failing_recipients_cost_no_order_either(monkeypatch):
    spec = replace(EMAILS["order_confirmation"], recipients=lambda fact: 1 / 0)
    monkeypatch.setitem(EMAILS, "order_confirmation", spec)

    create_order()

    assert (Order.objects.get().status, owed()) == ("placed", Counter())
    assert StaffTask.objects.get().kind == "email_failed"


@pytest.mark.django_db
def test_a_broken_fact_does_not_silence_the_others(monkeypatch):
    for _ in range(3):
        create_order()
    facts = list(OrderTransition.objects.filter(to_status="placed").order_by("pk"))
    EmailMessage.objects.all().delete()
    spec = EMAILS["order_confirmation"]
    broken = replace(spec, snapshot=lambda fact: {"broken": 1 / (fact.pk - facts[1].pk)})
    monkeypatch.setitem(EMAILS, "order_confirmation", broken)

    notify("order_confirmation", facts)

    assert dict(EmailMessage.objects.values_list("fact_id", "status")) == {
        facts[0].pk: "queued",
        facts[1].pk: "failed",
        facts[2].pk: "queued",
    }


@pytest.mark.django_db
def test_loading_fixtures_owes_nothing():
    order = create_order()
    pay(order)
    facts = [*OrderTransition.objects.all(), *EnrollmentTransition.objects.all(), *Payment.objects.all()]
    for fact in facts:
        fact.pk += 1000
    payment = facts[-1]
    payment.installment, payment.public_id, payment.stripe_payment_intent_id = None, uuid.uuid4(), "pi_other"
    dump = serializers.serialize("json", facts)
    EmailMessage.objects.all().delete()

    for loaded in serializers.deserialize("json", dump):
        loaded.save(force_insert=True)

    assert owed() == Counter()


@pytest.mark.django_db
def test_a_thousand_facts_cost_as_many_statements_as_one(monkeypatch):
    user = create_household().guardians.get()
    spec = EMAILS["order_confirmation"]
    plain = replace(spec, recipients=lambda fact: [user], snapshot=lambda fact: {}, key=lambda fact: fact.pk)
    monkeypatch.setitem(EMAILS, "order_confirmation", plain)
    statements = []

    for facts in ([OrderTransition(pk=1)], [OrderTransition(pk=pk) for pk in range(1000)]):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            notify("order_confirmation", facts)
        statements.append(len(queries))

    assert EmailMessage.objects.count() == 1000
    assert statements == [statements[0]] * 2
