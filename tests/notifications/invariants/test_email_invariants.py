"""What the invariants of emails allow. What they find is planted in tests/planted."""

from datetime import timedelta

import pytest

from billing.models import Credit, Payment
from csf.clock import Now
from csf.models import StaffTask
from csf.proofs.invariants import violations
from enrollments.models import User
from notifications.models import DrainSignal, EmailAct, EmailAttempt, EmailMessage, Suppression
from notifications.sending.drain import drain
from notifications.task_kinds import EmailTask
from tests.factories import create_order, create_staff
from tests.planted.school import note_change_by_staff
from tests.shop import Shop, accept, hear, open_page


@pytest.fixture
def told(db, stripe_server, mail_server):
    """A paid order and a credit, all emails sent: by kind."""
    accept()
    shop = Shop(stripe_server)
    order = create_order()
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")
    Credit.objects.create(household=order.household, amount_cents=500, cause="granted", reason="kind")
    drain()
    return {email.kind: email for email in EmailMessage.objects.all()}


def post_again(email, *outcomes):
    EmailAttempt.objects.filter(message=email).update(outcome=outcomes[0])
    for outcome in outcomes[1:]:
        EmailAttempt.objects.create(message=email, outcome=outcome)


def test_what_is_allowed_is_no_violation(told):
    """An address that is suppressed afterwards, one copy that does no harm, one that a person released, and a
    queue that waits for the provider."""
    Suppression.objects.create(address=told["payment_success"].to, scope="all", cause="bounced")
    post_again(told["order_confirmation"], "unknown", "sent")
    post_again(told["payment_success"], "unknown", "sent")
    EmailAct.objects.create(
        message=told["payment_success"], act="requeued", by=create_staff(), reason="they called"
    )
    assert violations() == []

    waiting = EmailMessage.objects.filter(pk=told["credit_added"].pk)
    waiting.update(status="queued", next_attempt_at=Now() - timedelta(hours=1))
    assert [found.number for found in violations()] == ["E4"]
    StaffTask.open(EmailTask.EMAIL_SENDER_BLOCKED, DrainSignal(pk=1), "the key is revoked")
    assert violations() == []


def test_who_has_no_guardian_cannot_be_told(told):
    EmailAttempt.objects.filter(message=told["payment_success"]).delete()
    told["payment_success"].delete()
    assert [found.ids for found in violations()] == [[f"payment_success:{Payment.objects.get().pk}"]]

    guardian = User.objects.get(household__isnull=False)
    note_change_by_staff(guardian)
    User.objects.filter(pk=guardian.pk).update(household=None)
    assert [found.number for found in violations()] == ["P1"]
