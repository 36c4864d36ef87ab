"""The suppression list: what puts an address on it, what it keeps back, and how it comes off."""

import itertools
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.contrib.auth.models import Permission
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from csf.clock import Now
from csf.models import StaffTask
from enrollments.models import User
from notifications.delivery.events import fold_events
from notifications.delivery.suppression import suppressed
from notifications.models import (
    EmailAct,
    EmailEvent,
    EmailMessage,
    EmailPreference,
    Suppression,
)
from notifications.preferences.rules import choices_of
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from tests.factories import create_household, create_staff
from tests.notifications.delivery.test_events import deliver, event, public_key  # noqa: F401
from tests.notifications.sending.test_drain import make_due, owe, posted, states, tasks_for_staff
from tests.pages import parent_of, words

HARD = {"type": "bounce", "reason": "550 no such user"}
AT = 1_790_000_000  # of the events
SECOND = timedelta(seconds=1)


def list_of(*fields):
    return list(Suppression.objects.order_by("address", "scope").values_list(*fields or ("address", "scope")))


def report(message, name, **changes):
    assert deliver([event(message, name, **changes)]) == 200
    fold_events()


def stop(address, scope="all", **fields):
    return Suppression.objects.create(address=address, scope=scope, cause="bounced", **fields)


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


# --- At the claim -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_nothing_goes_to_a_dead_address_and_staff_are_asked_once(mail_server):
    dead = stop("pat+0@example.org", detail="550 no such user")
    stop("pat+2@example.org", scope="non_essential")
    owe(1, secret="")
    owe(1)
    owe(1, kind="enrollment_confirmation")
    owe(1, kind="credit_added", to="PAT+0@example.org")
    owe(1, expires_at=Now() - SECOND, to="pat+0@example.org")
    EmailMessage.objects.create(
        kind="account_login_code",
        to="pat+0@example.org",
        fact_id=1,
        dedupe_key="code:1",
        context={},
        secret='{"code": "493811"}',
    )

    drain()

    assert states("status", "tries") == [
        ("suppressed", 0),
        ("sent", 1),
        ("sent", 1),
        ("suppressed", 0),
        ("expired", 0),
        ("suppressed", 0),
    ]
    stopped = EmailMessage.objects.filter(status="suppressed")
    assert set(stopped.values_list("error", "leased_until", "secret")) == {
        ("the address does not accept email - 550 no such user", None, "")
    }
    task = StaffTask.objects.get()
    assert (task.kind, task.subject) == ("email_suppressed", f"notifications.suppression:{dead.pk}")
    assert "pat+0@example.org" in task.detail
    assert "493811" not in task.detail
    assert len(mail_server.requests()) == 2


@pytest.mark.django_db
def test_who_called_our_mail_spam_gets_what_is_essential_and_no_more(mail_server):
    stop("pat+0@example.org", scope="non_essential")
    stop("pat+1@example.org", scope="non_essential")
    owe(1, kind="installment_reminder", is_test=True)  # a test is always worth sending
    owe(1, kind="enrollment_confirmation")

    drain()

    assert states("status") == [("suppressed",), ("sent",)]
    assert tasks_for_staff() == {}


@pytest.mark.django_db
def test_the_list_costs_one_statement_a_batch(mail_server):
    owe(16)

    with CaptureQueriesContext(connection) as queries:
        drain()

    assert len([query for query in queries if "notifications_suppression" in query["sql"]]) == 1
    assert suppressed([]) == {}


def test_what_is_claimed_after_an_address_was_stopped_does_not_go(mail_server, committed_db, settings):
    assert _stopped_in_the_middle(mail_server, settings) > 20


def test_without_the_check_it_would_go(mail_server, committed_db, settings, monkeypatch):
    """The negative control of the test above."""
    monkeypatch.setattr(drain_module, "keep_back", lambda rows: rows)

    assert _stopped_in_the_middle(mail_server, settings) == 0


def _stopped_in_the_middle(mail_server, settings):
    """How many of 60 emails to one address stay behind when it is stopped while a drain is under way; no
    email that was claimed later is posted."""
    settings.EMAIL_THREADS = 2
    owe(60, to="pat@example.org")
    claimed_later = []
    claim = drain_module._claim

    def stop_before_the_second(limit):
        is_first = not mail_server.requests()
        if not is_first and not Suppression.objects.exists():
            stop("pat@example.org")
        rows = claim(limit)
        claimed_later.extend(str(row.public_id) for row in rows if not is_first)
        return rows

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drain_module, "_claim", stop_before_the_second)
        drain()
    went = posted(mail_server)
    left = Counter(states("status"))
    assert claimed_later
    assert left["suppressed",] + left["sent",] == 60
    if left["suppressed",]:
        assert not went.keys() & set(claimed_later)
    else:
        assert set(claimed_later) <= went.keys()
    return left["suppressed",]


@pytest.mark.django_db
def test_a_late_event_of_the_first_try_settles_a_suppressed_email():
    [message] = owe(1, status="suppressed")

    report(message, "delivered")

    assert states("status") == [("delivered",)]


# --- Off the list -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_confirmed_address_takes_mail_and_what_was_chosen_stays(mail_server):
    user = create_household().guardians.get()
    address = EmailAddress.objects.get(user=user)
    stop(user.email)
    Suppression.objects.create(address=user.email, scope="non_essential", cause="complained")
    stop("other@example.org")

    email_confirmed.send(EmailAddress, request=SimpleNamespace(user=user), email_address=address)

    lifted = Suppression.objects.exclude(lifted_at=None).get()
    assert (lifted.address, lifted.scope, lifted.lifted_by) == (user.email, "all", None)
    assert lifted.lift_reason
    assert Suppression.objects.in_force().count() == 2


def office(*names):
    """A client of a person with these rights."""
    staff = create_staff(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=names))
    client = Client()
    client.force_login(staff)
    client.user = staff
    return client


RIGHTS = ["view_suppression", "change_suppression", "add_suppression", "view_emailmessage"]


def act(client, row, name, **data):
    url = reverse("admin:notifications_suppression_act", args=[row.pk, name])
    page = client.get(url)
    if page.status_code != 200:
        return page
    fingerprint = page.context["facts"].fingerprint
    return client.post(
        url, {"fingerprint": fingerprint, "reason": "They called: it works again."} | data, follow=True
    )


@pytest.mark.django_db
def test_staff_lift_it_with_a_reason_and_send_what_is_still_worth_it(mail_server):
    client = office(*RIGHTS)
    row = stop("pat+0@example.org")
    good, late, code, fixed, other = owe(5, to="pat+0@example.org")
    change = lambda email, **fields: EmailMessage.objects.filter(pk=email.pk).update(**fields)  # noqa: E731
    change(code, kind="account_login_code", context={})
    change(fixed, kind="account_notice")
    change(other, to="pat+1@example.org", status="suppressed", error=row.reason)
    drain()
    change(late, expires_at=Now() - SECOND)
    User.objects.filter(pk=good.recipient_id).update(email="new@example.org")

    answer = act(client, row, "lift", also_send="on")

    row.refresh_from_db()
    assert (row.lifted_by, row.lift_reason) == (client.user, "They called: it works again.")
    assert "SendGrid keeps its own" in answer.text
    assert not StaffTask.objects.open().exists()
    assert states("status", "to", "error")[:5] == [
        ("queued", "new@example.org", ""),
        ("suppressed", "pat+0@example.org", row.reason),
        ("suppressed", "pat+0@example.org", row.reason),
        ("queued", "pat+0@example.org", ""),
        ("suppressed", "pat+1@example.org", row.reason),
    ]
    acts = EmailAct.objects.order_by("message").values_list("message", "act", "by", "reason")
    assert [act[:3] for act in acts] == [(e.pk, "requeued", client.user.pk) for e in (good, fixed)]
    make_due()
    drain()
    assert posted(mail_server)[str(good.public_id)] == 1


@pytest.mark.django_db
def test_lifted_by_two_at_once_it_is_lifted_once():
    client = office(*RIGHTS)
    row = stop("pat@example.org")
    url = reverse("admin:notifications_suppression_act", args=[row.pk, "lift"])
    fingerprint = client.get(url).context["facts"].fingerprint
    Suppression.objects.all().lift(reason="first")

    answer = client.post(url, {"fingerprint": fingerprint, "reason": "second"})

    assert "Something has changed" in answer.text
    assert Suppression.objects.get().lift_reason == "first"


@pytest.mark.django_db
@pytest.mark.parametrize(("right", "answer"), [("change_suppression", 302), ("add_suppression", 403)])
def test_only_those_who_may_change_it_lift_it(right, answer):
    client = office("view_suppression", right)
    row = stop("pat@example.org")
    url = reverse("admin:notifications_suppression_act", args=[row.pk, "lift"])

    assert client.post(url, {"fingerprint": "None 0", "reason": "x"}).status_code == answer


@pytest.mark.django_db
def test_staff_add_one_by_hand_once():
    client = office(*RIGHTS)
    add = reverse("admin:notifications_suppression_add")
    form = {"address": "Pat@Example.org", "scope": "all", "detail": "They moved away."}

    assert client.post(add, form).status_code == 302
    again = client.post(add, form)
    without_reason = client.post(add, form | {"address": "x@example.org", "detail": ""})

    row = Suppression.objects.get()
    assert (row.address, row.cause, row.added_by, row.detail) == (
        "pat@example.org",
        "staff",
        client.user,
        "They moved away.",
    )
    assert "already suppressed in this way" in again.text
    assert "This field is required" in without_reason.text
    page = client.get(reverse("admin:notifications_suppression_change", args=[row.pk]))
    assert "They moved away." in page.text


# --- What people see ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_family_that_gets_no_mail_is_told_on_its_pages():
    household = create_household()
    user = household.guardians.get()
    client = parent_of(household)
    stop("somebody@example.org")
    Suppression.objects.create(address=user.email.lower(), scope="non_essential", cause="complained")
    assert "are not arriving" not in words(client.get("/account/"))

    row = stop(user.email.lower())
    for path in ("/", "/account/", "/account/children/", "/cart/", reverse("account_email")):
        answer = client.get(path)
        assert f"Emails to {user.email} are not arriving" in words(answer)
        assert reverse("account_email") in answer.text

    Suppression.objects.filter(pk=row.pk).lift(reason="x", by=None)
    assert "are not arriving" not in words(client.get("/account/"))
    assert "are not arriving" not in words(Client().get("/"))


@pytest.mark.django_db
def test_the_sign_in_page_does_not_tell_which_addresses_take_no_mail(mail_server):
    dead, alive = (create_household().guardians.get() for _ in range(2))
    stop(dead.email.lower())

    answers = []
    for user in (dead, alive):
        answer = Client().post(reverse("account_request_login_code"), {"email": user.email}, follow=True)
        answers.append(words(answer).replace(user.email, "the address"))
    EmailMessage.objects.update(next_attempt_at=timezone.now() - SECOND)
    drain()

    assert answers[0] == answers[1]
    assert {(m.to, m.status) for m in EmailMessage.objects.all()} == {
        (dead.email, "suppressed"),
        (alive.email, "sent"),
    }


@pytest.mark.django_db
def test_the_page_of_a_family_shows_its_addresses_that_get_no_mail(admin_client):
    household = create_household()
    user = household.guardians.get()
    stop(user.email.lower(), detail="550 gone")
    stop("else@example.org", detail="550 not theirs")

    page = admin_client.get(reverse("admin:enrollments_household_change", args=[household.pk]))

    assert "550 gone" in page.text
    assert "550 not theirs" not in page.text
