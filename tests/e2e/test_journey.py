"""The whole thing as real processes: gunicorn, a Django-Q cluster, both stand-ins, and a parent over HTTP."""

import uuid

import pytest
from django.core.management import call_command

from billing.models import Installment, Payment, Refund, StripeEvent, Transfer
from billing.stripe.webhook_endpoint import register_endpoint
from csf.models import StaffTask
from demo.journey.family import World
from demo.journey.journey import Journey
from enrollments.models import Enrollment
from notifications.models import EmailAttempt, EmailMessage
from tests.e2e import processes


@pytest.mark.processes
def test_families_get_their_emails_once_each(committed_db, stripe_server, mail_server):
    call_command("seed_demo", families=1)
    call_command("sync_schedules")
    register_endpoint(identity=uuid.uuid4(), remote=True)
    with processes.web() as site, processes.cluster():
        world = World(site, stripe_server.url, mail_server.url, manage=processes.manage)
        complete = Journey(world).run()

    assert complete
    charges = sorted(
        charge["amount_cents"] for charge in stripe_server.books()["charges"] if charge["succeeded"]
    )
    assert charges == sorted(Payment.objects.values_list("amount_cents", flat=True))
    left_alone = StripeEvent.objects.exclude(status="processed").values_list("type", "note")
    assert set(left_alone) <= {("invoice.voided", "we asked for it")}
    told = {str(row.public_id): row for row in EmailMessage.objects.filter(status="sent")}
    assert {mail["custom_args"]["outbox_id"] for mail in mail_server.messages()} == told.keys()
    assert EmailAttempt.objects.count() == len(mail_server.requests()) == len(told)
    # Of the decline that was paid at once, if it was heard of before the payment.
    assert {row.status for row in EmailMessage.objects.exclude(status="sent")} <= {"expired"}
    second_parts = Installment.objects.filter(number=2).values_list("status", flat=True)
    assert sorted(second_parts) == ["needs_card", "paid", "paid", "paid", "scheduled"]
    [move] = Transfer.objects.all()
    assert (move.difference_cents, move.installment.status) == (54_00, "paid")
    refunds = Refund.objects.order_by("pk").values_list("status", "amount_cents")
    waiting = [("requested", 126_00), ("requested", 168_00), ("requested", 168_00)]
    assert list(refunds) == [("succeeded", 168_00), *waiting]
    diving = Enrollment.objects.filter(course__slug="springboard-diving").values_list("status", "tier")
    assert sorted(diving) == [
        ("cancelled", ""),
        ("cancelled", ""),
        ("cancelled", "priority"),
        ("cancelled", "regular"),
    ]
    tasks = StaffTask.objects.order_by("kind").values_list("kind", flat=True)
    assert list(tasks) == ["card_refused", *["refund_to_approve"] * 4]
