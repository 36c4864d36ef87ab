"""What staff do with emails, against a drain that may claim them meanwhile."""

import email as mail_parser
import email.policy
import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from csf.models import StaffTask
from csf.refusal import NotPossible
from enrollments.models import User
from notifications.by_staff import staff_acts
from notifications.models import EmailAttempt, EmailMessage
from notifications.quarantine import lift_quarantine
from notifications.sending.drain import drain
from notifications.sending.results import resolve_unknown
from notifications.task_kinds import EmailTask
from tests.factories import create_household, create_order, create_staff
from tests.notifications.mails import SAMPLES
from tests.notifications.outbox_rows import (
    TOKEN,
    WHY,
    acts_of,
    make_due,
    one,
    owe,
    posted,
    state_of,
    tasks_for_staff,
)


@pytest.fixture
def office(db):
    return create_staff(first_name="Olga")


def unknown(mail_server, **fields):
    """Posted without an answer, and left to a person."""
    mail_server.control(next=["cut"])
    row = one(**fields)
    drain()
    EmailMessage.objects.filter(pk=row.pk, status="unknown").update(
        posting_at=timezone.now() - timedelta(days=1)
    )
    resolve_unknown()
    row.refresh_from_db()
    return row


# --- Withhold and release -----------------------------------------------------------------------------------


def test_withheld_it_is_not_sent_and_released_it_is(mail_server, office):
    row = one()

    staff_acts.withhold(email=row, by=office, reason=WHY)
    drain()
    withheld = state_of(row), row.error, len(mail_server.requests())
    staff_acts.requeue(email=row, by=office, reason="a mistake")
    drain()

    assert withheld == ("withheld", f"withheld: {WHY}", 0)
    assert (state_of(row), row.error, len(mail_server.requests())) == ("sent", "", 1)
    assert acts_of(row) == [("withheld", "Olga", WHY), ("requeued", "Olga", "a mistake")]


@pytest.mark.parametrize(
    ("fields", "possible"),
    [
        ({"status": "queued"}, {"withhold"}),
        ({"status": "queued", "kind": "account_login_code"}, set()),
        ({"status": "sending"}, set()),
        ({"status": "unknown"}, set()),
        ({"status": "withheld"}, {"requeue", "mark sent"}),
        ({"status": "withheld", "expires_at": "past"}, {"mark sent", "resend"}),
        ({"status": "withheld", "kind": "account_login_code"}, {"mark sent"}),
        ({"status": "withheld", "context": {}}, {"mark sent"}),
        ({"status": "sent"}, {"resend"}),
        ({"status": "delivered"}, {"resend"}),
        ({"status": "bounced"}, {"resend"}),
        ({"status": "failed"}, {"resend"}),
        ({"status": "expired"}, {"resend"}),
        ({"status": "suppressed"}, {"resend"}),
        ({"status": "sent", "context": {"order_number": "K7M2P9QX"}}, set()),  # its facts were purged
        ({"status": "sent", "kind": "account_password_reset"}, set()),
        ({"status": "sent", "kind": "order_confirmation"}, set()),  # of no order that is alive
        ({"status": "sent", "is_test": True}, set()),
    ],
)
def test_each_act_is_possible_where_it_makes_sense_and_else_changes_nothing(office, fields, possible):
    if fields.get("expires_at"):
        fields = fields | {"expires_at": timezone.now() - timedelta(hours=1)}
    acts = {
        "withhold": lambda row: staff_acts.withhold(email=row, by=office, reason=WHY),
        "requeue": lambda row: staff_acts.requeue(email=row, by=office, reason=WHY),
        "mark sent": lambda row: staff_acts.mark_sent(email=row, by=office, reason=WHY),
        "resend": lambda row: staff_acts.resend(email=row, number=1, by=office, reason=WHY),
    }
    done = set()
    for name, act in acts.items():
        row = one(**fields)
        before = EmailMessage.objects.values().get(pk=row.pk)
        try:
            with transaction.atomic():
                act(row)
            done.add(name)
            assert row.acts.count() == 1
        except NotPossible:
            assert EmailMessage.objects.values().get(pk=row.pk) == before
            assert not row.acts.exists()
            assert not row.resends.exists()

    assert done == possible


def test_many_at_once_moves_those_that_still_stand_there(mail_server, office):
    rows = owe(3)
    sent = one(status="sent")
    everything = EmailMessage.objects.order_by("to").defer("html")

    withheld = staff_acts.withhold_all(emails=everything, by=office, reason=WHY)
    EmailMessage.objects.filter(pk=rows[0].pk).update(expires_at=timezone.now() - timedelta(hours=1))
    requeued = staff_acts.requeue_all(emails=everything, by=office, reason=WHY)
    drain()

    assert (withheld, requeued) == (3, 2)
    assert [state_of(row) for row in rows] == ["withheld", "sent", "sent"]
    assert not sent.acts.exists()
    assert len(mail_server.requests()) == 2


def test_released_after_unknown_the_family_may_get_it_twice_and_the_task_is_done(mail_server, office):
    row = unknown(mail_server, kind="payment_success")
    assert (row.status, tasks_for_staff()) == ("withheld", {"email_unknown": 1})
    assert staff_acts.may_have_gone(EmailMessage.objects.all()).get() == row

    staff_acts.requeue(email=row, by=office, reason=WHY)
    drain()

    assert (state_of(row), row.tries, tasks_for_staff()) == ("sent", 2, {})
    assert StaffTask.objects.get().closed_by == office
    assert posted(mail_server) == {str(row.public_id): 2}


def test_marked_as_sent_it_rests(mail_server, office):
    row = unknown(mail_server, kind="payment_success")

    staff_acts.mark_sent(email=row, by=office, reason=WHY)
    with pytest.raises(NotPossible):
        staff_acts.mark_sent(email=row, by=office, reason=WHY)
    make_due()
    drain()

    assert (state_of(row), row.sent_at, row.error) == ("sent", row.posting_at, "")
    assert acts_of(row) == [("marked_sent", "Olga", WHY)]
    assert tasks_for_staff() == {}
    assert len(mail_server.requests()) == 1


def test_who_withheld_it_says_whether_the_family_may_have_it(mail_server, office):
    """Staff stopped the first before any post; the second was owed when a backup was restored."""
    ours, restored = one(), one()
    staff_acts.withhold(email=ours, by=office, reason=WHY)
    lift_quarantine()
    staff_acts.requeue(email=restored, by=office, reason=WHY)
    staff_acts.withhold(email=restored, by=office, reason="better not")

    assert list(staff_acts.may_have_gone(EmailMessage.objects.all())) == [restored]


# --- Once more ----------------------------------------------------------------------------------------------


def test_sent_once_more_to_the_address_of_today_with_the_same_facts(mail_server, office):
    row = one(kind="payment_success", priority=3)
    drain()
    User.objects.filter(pk=row.recipient_id).update(email="new@example.org")
    StaffTask.open(EmailTask.EMAIL_BOUNCED, row)
    row.refresh_from_db()

    again = staff_acts.resend(email=row, number=1, by=office, reason=WHY)
    drain()

    again.refresh_from_db()
    assert (again.status, again.to, again.resend_of, again.kind) == ("sent", "new@example.org", row, row.kind)
    assert (again.context, again.fact_id, again.priority) == (row.context, row.fact_id, 3)
    assert again.dedupe_key == f"{row.dedupe_key}:resend:1"
    assert (row.status, row.to) == ("sent", "pat+0@example.org")
    assert acts_of(row) == [("resent", "Olga", WHY)]
    assert tasks_for_staff() == {}
    assert {m["subject"] for m in mail_server.messages()} == {row.subject}
    assert len({m["headers"]["Message-ID"] for m in mail_server.messages()}) == 2


def test_a_copy_is_sent_once_more_as_its_original_is(mail_server, office):
    row = one(status="delivered")
    first = staff_acts.resend(email=row, number=1, by=office, reason=WHY)
    with pytest.raises(NotPossible, match="still be on its way"):
        staff_acts.resend(email=row, number=2, by=office, reason=WHY)
    drain()
    first.refresh_from_db()

    second = staff_acts.resend(email=first, number=2, by=office, reason=WHY)
    with pytest.raises(NotPossible):
        staff_acts.resend(email=row, number=2, by=office, reason=WHY)

    assert (second.resend_of, second.dedupe_key) == (row, f"{row.dedupe_key}:resend:2")
    assert [act for act, *_ in acts_of(row)] == ["resent", "resent"]


def test_news_of_an_account_goes_to_the_address_that_it_tells_of(office):
    row = one(kind="account_notice", status="sent", to="former@example.org")

    again = staff_acts.resend(email=row, number=1, by=office, reason=WHY)

    assert again.to == "former@example.org"


def test_what_is_no_longer_true_is_not_sent_once_more(office):
    order = create_order()
    row = EmailMessage.objects.get(kind="order_confirmation")
    EmailMessage.objects.filter(pk=row.pk).update(status="sent")
    order.end("cancelled", reason="x")

    with pytest.raises(NotPossible, match="no longer true"):
        staff_acts.resend(email=row, number=1, by=office, reason=WHY)


# --- Tests to oneself ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["order_confirmation", "installment_reminder"])
def test_a_test_goes_to_its_sender_whatever_is_true(mail_server, office, kind):
    key = uuid.uuid4()
    facts = SAMPLES[kind]["typical"]

    first = staff_acts.send_test(kind=kind, facts=facts, by=office, key=key)
    second = staff_acts.send_test(kind=kind, facts=facts, by=office, key=key)
    drain()

    first.refresh_from_db()
    assert first == second
    assert (first.status, first.to, first.recipient, first.is_test) == ("sent", office.email, None, True)
    [message] = mail_server.messages()
    assert message["to"] == [office.email]
    assert message["subject"] == first.subject
    assert first.subject.startswith("[TEST] ")
    assert acts_of(first) == [("sent_test", "Olga", "")]
    assert "List-Unsubscribe" not in message["headers"]


def test_ten_tests_an_hour_are_the_most(office):
    def test():
        staff_acts.send_test(kind="welcome", facts={"first_name": "x"}, by=office, key=uuid.uuid4())

    for _ in range(10):
        test()
    with pytest.raises(NotPossible, match="10 tests"):
        test()
    other = create_staff()
    staff_acts.send_test(kind="welcome", facts={"first_name": "x"}, by=other, key=uuid.uuid4())

    assert EmailMessage.objects.filter(is_test=True).count() == 11


def test_a_test_without_an_answer_asks_nobody_to_decide(mail_server, office):
    mail_server.control(next=["cut"])
    facts = SAMPLES["payment_success"]["typical"]
    row = staff_acts.send_test(kind="payment_success", facts=facts, by=office, key=uuid.uuid4())
    drain()
    EmailMessage.objects.update(posting_at=timezone.now() - timedelta(days=1), is_test=True)
    EmailMessage.objects.filter(status="unknown").update(kind="payment_success")

    resolve_unknown()

    assert (state_of(row), tasks_for_staff()) == ("expired", {})


# --- Reading ------------------------------------------------------------------------------------------------


def test_the_file_is_the_message_as_it_was_sent_and_opens_nothing(mail_server, office):
    household = create_household()
    row = one(kind="enrollment_confirmation", recipient=household.guardians.get())
    drain()
    text = f"Pay here: https://example.org/pay/{TOKEN}/\n"
    row.refresh_from_db()
    EmailMessage.objects.filter(pk=row.pk).update(
        text=row.text + text, html=row.html.replace("</body>", f'<a href="/pay/{TOKEN}/">x</a></body>')
    )
    row.refresh_from_db()

    content = staff_acts.eml(email=row, by=office)

    parsed = mail_parser.message_from_bytes(content, policy=email.policy.default)
    [sent] = mail_server.messages()
    assert parsed["Subject"] == row.subject
    assert parsed["Message-ID"].strip() == sent["headers"]["Message-ID"]
    assert parsed["Date"].datetime == row.sent_at.replace(microsecond=0)
    assert row.to in parsed["To"]
    body = parsed.get_body(("plain",)).get_content()
    assert body.splitlines()[:5] == row.text.splitlines()[:5]
    assert TOKEN not in content.decode() + body + parsed.get_body(("html",)).get_content()
    assert "https://example.org/pay/•••••/" in body
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert acts_of(row) == [("downloaded", "Olga", "")]


@pytest.mark.parametrize(
    "fields",
    [{"kind": "account_login_code", "html": "x", "text": "x"}, {"status": "queued"}, {"html": "x"}],
)
def test_no_file_of_what_opens_an_account_or_is_not_there(office, fields):
    row = one(**fields)

    with pytest.raises(NotPossible):
        staff_acts.eml(email=row, by=office)

    assert not row.acts.exists()


def test_reading_is_noted_once_a_day(office):
    row = one()

    for by in (office, office, create_staff(first_name="Nina"), office):
        staff_acts.log_read(email=row, by=by)

    assert acts_of(row) == [("read", "Olga", ""), ("read", "Nina", "")]


def test_attempts_that_were_refused_were_surely_not_sent(office):
    row = one(status="queued")
    EmailAttempt.objects.create(message=row, outcome="not_sent")
    staff_acts.withhold(email=row, by=office, reason=WHY)

    assert not staff_acts.may_have_gone(EmailMessage.objects.all()).exists()
