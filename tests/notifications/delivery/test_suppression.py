"""The suppression list: what puts an address on it."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection
from hypothesis import given, settings
from hypothesis import strategies as st

from csf.models import StaffTask
from enrollments.models import User
from notifications.delivery.events import fold_events
from notifications.models import EmailEvent, EmailMessage, EmailPreference, Suppression
from notifications.preferences.rules import choices_of
from notifications.sending.drain import drain
from tests.notifications.delivery.signed_events import deliver, event
from tests.notifications.delivery.suppressed import AT, HARD, list_of, report, stop
from tests.notifications.outbox_rows import owe, tasks_for_staff

# --- On the list --------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "event_fields", "scope"),
    [
        ("bounce", HARD, "all"),
        ("bounce", {"type": "blocked", "reason": "550 blocked"}, None),
        ("bounce", {"reason": "550 of no kind"}, None),
        ("bounce", HARD | {"bounce_classification": "Invalid Address"}, "all"),
        ("bounce", HARD | {"reason": "550 5.4.2.2@example.org is no user"}, "all"),
        ("bounce", HARD | {"bounce_classification": "Mailbox Unavailable"}, None),
        ("bounce", HARD | {"bounce_classification": "Reputation"}, None),
        ("bounce", HARD | {"reason": "552 5.2.2 Mailbox full"}, None),
        ("bounce", HARD | {"reason": "The user is over quota"}, None),
        ("bounce", HARD | {"reason": "452 4.2.2 try again later"}, None),
        ("dropped", {"reason": "Bounced Address"}, "all"),
        ("dropped", {"reason": "Invalid"}, "all"),
        ("dropped", {"reason": "Invalid SMTPAPI header"}, None),
        ("dropped", {"reason": "Spam Content"}, None),
        ("dropped", {"reason": "Recipient List over Package Quota"}, None),
        ("dropped", {"reason": "Spam Reporting Address"}, "non_essential"),
        ("spamreport", {}, "non_essential"),
        ("deferred", {"response": "450 later"}, None),
        ("delivered", {}, None),
    ],
)
def test_what_each_event_does_to_the_address_that_the_email_went_to(name, event_fields, scope):
    [message] = owe(1, local="Pat", status="sent")

    event_fields.pop("email", None)
    report(message, name, **event_fields, email="somebody@else.example")

    assert list_of("address", "scope", "detail") == (
        [("pat+0@example.org", scope, event_fields.get("reason", ""))] if scope else []
    )
    is_complaint = scope == "non_essential"
    assert StaffTask.objects.filter(kind="email_complained").count() == is_complaint
    if is_complaint:
        task = StaffTask.objects.get(kind="email_complained")
        assert task.subject == f"enrollments.household:{message.recipient.household_id}"
        assert EmailMessage.objects.get().status == "complained"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changes",
    [
        {"outbox_id": None, "email": "nobody@example.org"},
        {"outbox_id": None, "email": ""},
        {"outbox_id": "of another system with this account"},
        {"outbox_id": str(uuid4())},
        {"outbox_id": None, "timestamp": AT - 3600},  # before we wrote to that address
    ],
)
def test_an_event_of_nobody_s_email_does_nothing(changes):
    [message] = owe(1, status="sent", sent_at=datetime.fromtimestamp(AT, UTC))

    report(message, "bounce", **HARD | changes)

    assert (list_of(), EmailMessage.objects.get().status) == ([], "sent")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "event_fields", "scope", "status"),
    [("bounce", HARD, "all", "bounced"), ("spamreport", {}, "non_essential", "complained")],
)
def test_what_comes_late_and_without_our_ids_is_matched_by_its_address(name, event_fields, scope, status):
    first, newest, later, other = owe(4, status="delivered")
    for row, at in ((first, AT - 60), (newest, AT - 30), (later, AT + 3600), (other, AT - 10)):
        EmailMessage.objects.filter(pk=row.pk).update(
            to="Pat@example.org", sent_at=datetime.fromtimestamp(at, UTC)
        )
    EmailMessage.objects.filter(pk=other.pk).update(to="pat@example.org.uk")

    report(newest, name, **event_fields, email="pat@EXAMPLE.org", outbox_id=None, sg_message_id=None)

    assert list_of() == [("pat@example.org", scope)]
    states = dict(EmailMessage.objects.values_list("pk", "status"))
    assert states == {
        first.pk: "delivered",
        newest.pk: status,
        later.pk: "delivered",
        other.pk: "delivered",
    }
    assert EmailEvent.objects.get().outbox_id == newest.public_id


@pytest.mark.django_db
def test_a_family_whose_mailbox_is_full_still_gets_its_sign_in_code(mail_server):
    """As the provider's list is not ours to clear, the next email is at least tried."""
    [message] = owe(1, local="mailboxfull", status="sent")
    reason = "552 5.2.2 The email account that you tried to reach is over quota."
    report(message, "bounce", type="bounce", reason=reason, status="5.2.2")
    owe(1, kind="account_login_code", to=message.to)

    drain()

    assert [mail["kind"] for mail in mail_server.messages(to=message.to)] == ["account_login_code"]


@pytest.mark.django_db
def test_a_late_event_stops_the_address_that_it_is_about_not_the_family_s_new_one(mail_server):
    old, new = owe(2, status="sent")
    User.objects.filter(pk=old.recipient_id).update(email="new@example.org")
    EmailMessage.objects.filter(pk=new.pk).update(to="new@example.org", status="queued")

    report(old, "bounce", **HARD)
    drain()

    assert list_of() == [("pat+0@example.org", "all")]
    assert EmailMessage.objects.get(pk=new.pk).status == "sent"


@pytest.mark.django_db
@settings(max_examples=25)
@given(
    order=st.permutations(range(6)),
    copies=st.lists(st.integers(0, 5), max_size=6),
    sizes=st.lists(st.integers(1, 4), max_size=6),
)
def test_order_copies_and_batches_of_events_do_not_matter(order, copies, sizes):
    for model in (EmailEvent, EmailMessage, Suppression, StaffTask):
        model.objects.all().delete()
    first, second = owe(2, local="late", status="sent")
    event_fields = [
        event(first, "delivered", timestamp=AT),
        event(first, "bounce", **HARD, timestamp=AT + 1),
        event(first, "spamreport", timestamp=AT + 2),
        event(second, "dropped", reason="Bounced Address", timestamp=AT + 3),
        event(second, "deferred", response="450", timestamp=AT + 4),
        event(second, "bounce", **HARD, timestamp=AT + 5),
    ]
    pending = [event_fields[number] for number in [*order, *copies]]

    for size in [*sizes, len(pending)]:
        batch, pending = pending[:size], pending[size:]
        deliver(batch)
        fold_events()

    assert list_of() == [
        ("late+0@example.org", "all"),
        ("late+0@example.org", "non_essential"),
        ("late+1@example.org", "all"),
    ]
    assert tasks_for_staff()["email_complained"] == 1


def test_two_folds_at_once_make_one_row_an_address(committed_db):
    emails = owe(30, status="sent")
    for name, rows in (("bounce", emails), ("dropped", emails[::-1])):
        event_fields = HARD if name == "bounce" else {"reason": "Bounced Address"}
        deliver([event(row, name, **event_fields) for row in rows])
    barrier = threading.Barrier(4)

    def one(_):
        barrier.wait()
        try:
            return fold_events()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(one, range(4)))

    assert sum(counts) == 60
    assert list_of() == sorted((row.to, "all") for row in emails)


@pytest.mark.django_db
def test_what_happened_before_it_was_lifted_is_no_news():
    [message] = owe(1, status="sent")
    report(message, "bounce", **HARD)
    Suppression.objects.all().lift(reason="the mailbox was full")
    lifted_at = int(Suppression.objects.get().lifted_at.timestamp())

    report(message, "dropped", reason="Bounced Address", timestamp=lifted_at - 60)
    assert not Suppression.objects.in_force().exists()

    report(message, "dropped", reason="Bounced Address", timestamp=lifted_at + 1)
    assert Suppression.objects.in_force().count() == 1


@pytest.mark.django_db
def test_one_in_force_for_an_address_and_scope():
    stop("pat@example.org")

    with pytest.raises(IntegrityError):
        stop("pat@example.org")


# --- Choices made at the provider ---------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("event_fields", list(itertools.permutations([0, 1, 2])))
def test_who_unsubscribes_at_the_provider_gets_only_what_is_essential_until_they_come_back(event_fields):
    [message] = owe(1, status="sent")
    user = message.recipient
    before = choices_of(user)
    events = [
        event(message, "unsubscribe", timestamp=AT),
        event(message, "group_resubscribe", timestamp=AT + 1),
        event(message, "group_unsubscribe", timestamp=AT + 2),
    ]

    for number in event_fields:
        deliver([events[number]])
        fold_events()
    assert not any(choices_of(user).values())
    assert EmailMessage.objects.get().status == "sent"

    report(message, "group_resubscribe", timestamp=AT + 3)
    assert choices_of(user) == before


@pytest.mark.django_db
def test_what_a_parent_chose_later_on_our_page_stays():
    [message] = owe(1, status="sent")
    EmailPreference.objects.create(user=message.recipient, choice="newsletter", is_on=True, origin="page")

    report(message, "unsubscribe", timestamp=int(time.time()) - 3600)
    assert choices_of(message.recipient)["newsletter"]

    report(message, "unsubscribe", timestamp=int(time.time()) + 5)
    assert not choices_of(message.recipient)["newsletter"]
