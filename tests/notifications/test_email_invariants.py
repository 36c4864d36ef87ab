"""A journey with its emails breaks none of their invariants, and each fires on what is planted for it."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db.models.functions import Now
from django.utils import timezone

from billing.models import Credit, Payment
from csf.invariants import violations
from csf.models import StaffTask
from enrollments.models import User
from notifications.models import (
    DrainSignal,
    EmailAct,
    EmailAttempt,
    EmailMessage,
    EmailPreference,
    Suppression,
)
from notifications.sending.drain import drain
from tests.factories import create_guardian, create_household, create_order, create_staff
from tests.shop import Shop, accept, hear, open_page

HOUR = timedelta(hours=1)


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
    emails = {email.kind: email for email in EmailMessage.objects.all()}
    assert set(emails) == {
        "order_confirmation",
        "payment_success",
        "enrollment_confirmation",
        "credit_added",
    }
    assert set(EmailAttempt.objects.values_list("outcome", flat=True)) == {"sent"}
    return emails


def test_a_whole_journey_breaks_nothing(told):
    Suppression.objects.create(address=told["payment_success"].to, scope="all", cause="bounced")

    assert violations() == []


def change(email, **fields):
    EmailMessage.objects.filter(pk=email.pk).update(**fields)


def post_again(email, *outcomes):
    EmailAttempt.objects.filter(message=email).update(outcome=outcomes[0])
    for outcome in outcomes[1:]:
        EmailAttempt.objects.create(message=email, outcome=outcome)


def resent_without_a_reason(told):
    original = told["payment_success"]
    create_copy(original, dedupe_key="copy", resend_of=original)
    EmailAct.objects.create(message=original, act="resent", by=create_staff())


def create_copy(email, **fields):
    values = {"kind": email.kind, "to": email.to, "fact_id": email.fact_id, "recipient": email.recipient}
    return EmailMessage.objects.create(**values | {"context": email.context, "status": "sent"} | fields)


def without_fact(told):
    change(told["order_confirmation"], fact_id=0)


def another_amount(told):
    email = told["payment_success"]
    change(email, context=email.context | {"amount_cents": 1})


def untold_payment(told):
    told["payment_success"].attempts.all().delete()
    told["payment_success"].delete()


def untold_order(told):
    told["order_confirmation"].attempts.all().delete()
    told["order_confirmation"].delete()


def forgotten_in_the_queue(told):
    change(told["payment_success"], status="queued", next_attempt_at=Now() - HOUR)


def lost_lease(told):
    change(told["payment_success"], status="sending", leased_until=Now() - HOUR)


def undecided(told):
    change(told["payment_success"], status="unknown", posting_at=Now() - HOUR)


def posted_while_open(told):
    post_again(told["order_confirmation"], "open", "sent")


def posted_after_it_was_taken(told):
    post_again(told["order_confirmation"], "sent", "sent")


def two_copies(told):
    post_again(told["order_confirmation"], "unknown", "unknown", "sent")


def copy_that_confuses(told):
    post_again(told["payment_success"], "unknown", "sent")


def too_late(told):
    change(told["order_confirmation"], expires_at=Now() - HOUR)


def to_another_family(told):
    change(told["payment_success"], recipient=create_guardian(household=create_household()))


def to_a_suppressed_address(told):
    email = told["payment_success"]
    Suppression.objects.create(address=email.to, scope="all", cause="bounced", began_at=Now() - HOUR)


def what_was_switched_off(told):
    email = told["payment_success"]
    change(email, kind="installment_reminder")
    EmailPreference.objects.create(user=email.recipient, choice="installment_reminder", is_on=False)
    EmailPreference.objects.update(changed_at=timezone.now() - HOUR)


def kept_secret(told):
    email = told["payment_success"]
    email.secret = "code 123456"
    email.save()


def kept_code(told):
    change(told["payment_success"], kind="account_login_code", dedupe_key="code")


def kept_text(told):
    change(told["payment_success"], created_at=Now() - timedelta(days=93))


@pytest.mark.parametrize(
    ("plant", "number"),
    [
        (resent_without_a_reason, "E1"),
        (without_fact, "E2"),
        (another_amount, "E2"),
        (untold_payment, "E3"),
        (untold_order, "E3"),
        (forgotten_in_the_queue, "E4"),
        (lost_lease, "E4"),
        (undecided, "E4"),
        (posted_while_open, "E5"),
        (posted_after_it_was_taken, "E5"),
        (two_copies, "E5"),
        (copy_that_confuses, "E5"),
        (too_late, "E6"),
        (to_another_family, "E7"),
        (to_a_suppressed_address, "E8"),
        (what_was_switched_off, "E8"),
        (kept_secret, "P5"),
        (kept_code, "P5"),
        (kept_text, "P5"),
    ],
)
def test_each_invariant_fires_on_what_is_planted(told, plant, number, capsys):
    plant(told)

    with pytest.raises(CommandError):
        call_command("check_invariants", "--json")

    assert number in {json.loads(line)["number"] for line in capsys.readouterr().out.splitlines()}


def test_what_is_allowed_is_no_violation(told):
    """One copy that does no harm, one that a person released, and a queue that waits for the provider."""
    post_again(told["order_confirmation"], "unknown", "sent")
    post_again(told["payment_success"], "unknown", "sent")
    EmailAct.objects.create(
        message=told["payment_success"], act="released", by=create_staff(), reason="they called"
    )
    assert violations() == []

    forgotten_in_the_queue({"payment_success": told["credit_added"]})
    assert [found.number for found in violations()] == ["E4"]
    StaffTask.open(StaffTask.Kind.EMAIL_SENDER_BLOCKED, DrainSignal(pk=1), "the key is revoked")
    assert violations() == []


def test_who_has_no_guardian_cannot_be_told(told):
    untold_payment(told)
    assert [found.ids for found in violations()] == [[f"payment_success:{Payment.objects.get().pk}"]]

    User.objects.filter(household__isnull=False).update(household=None)
    assert violations() == []
