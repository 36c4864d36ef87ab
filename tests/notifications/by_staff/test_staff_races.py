"""Staff press while a drain sends, or twice at once, and a drain settles while events are folded. Each race
has its control: with the guard patched away the damage shows, so the race is really run."""

import contextlib
import threading

import pytest
from django.db import OperationalError, connection, models, transaction

from csf.refusal import NotPossible
from notifications.by_staff import staff_acts
from notifications.by_staff.broadcast import reach_of, send
from notifications.models import EmailAct, EmailAttempt, EmailMessage, FamilyMessage
from notifications.sending import drain as drain_module
from notifications.sending import results as settle_module
from notifications.sending.drain import drain
from notifications.sending.transport import Outcome, Result
from tests.factories import create_course, create_staff
from tests.notifications.family_messages import enroll, message_to
from tests.notifications.outbox_rows import WHY, one, owe, state_of
from tests.waiting import Meeting, is_a_lock_awaited, wait_until

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]


@pytest.fixture
def office(committed_db):
    return create_staff(first_name="Olga")


def in_thread(act):
    """Its result or the exception that it raised, over a connection of its own."""
    found = []

    def run():
        try:
            found.append(act())
        except Exception as error:
            found.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def press_while_claimed(office):
    """Staff withhold an email while a drain's claim of it is about to commit."""
    row = one()
    with transaction.atomic():
        EmailMessage.objects.claim(1)
        thread, found = in_thread(lambda: staff_acts.withhold(email=row, by=office, reason=WHY))
        wait_until(is_a_lock_awaited)
    thread.join()
    return state_of(row), found[0]


def test_what_a_drain_is_claiming_cannot_be_withheld(office):
    status, refusal = press_while_claimed(office)

    assert status == "sending"
    assert isinstance(refusal, NotPossible)
    assert not EmailAct.objects.exists()


def test_control_without_the_lock_a_claimed_email_is_called_withheld(office, monkeypatch):
    claimed = EmailMessage.objects.all().select_for_update

    def only_the_claim(queryset, **options):
        return queryset if options.get("no_key") else claimed.__func__(queryset, **options)

    monkeypatch.setattr(models.QuerySet, "select_for_update", only_the_claim)

    status, _ = press_while_claimed(office)

    assert status == "withheld"


def press_during_the_post(office, monkeypatch):
    row = one()
    found, post = [], drain_module.post

    def slow_post(*arguments):
        found.append(in_thread(lambda: staff_acts.withhold(email=row, by=office, reason=WHY)))
        found[0][0].join()
        return post(*arguments)

    monkeypatch.setattr(drain_module, "post", slow_post)
    drain()
    return state_of(row), found[0][1][0]


def test_what_is_being_posted_cannot_be_withheld(mail_server, office, monkeypatch):
    status, refusal = press_during_the_post(office, monkeypatch)

    assert (status, type(refusal)) == ("sent", NotPossible)
    assert len(mail_server.messages()) == 1


def test_control_without_the_status_a_sent_email_is_called_withheld(mail_server, office, monkeypatch):
    monkeypatch.setattr(staff_acts, "can_be_withheld", lambda emails: emails)

    status, _ = press_during_the_post(office, monkeypatch)

    assert status == "withheld"
    assert len(mail_server.messages()) == 1


def resend_twice_at_once(office, monkeypatch):
    row = one(status="sent")
    address_for, both = staff_acts.address_for, Meeting()

    def after_both_checks(email):
        both.wait()
        return address_for(email)

    monkeypatch.setattr(staff_acts, "address_for", after_both_checks)
    presses = [
        in_thread(lambda: staff_acts.resend(email=row, number=1, by=office, reason=WHY)) for _ in range(2)
    ]
    for thread, _ in presses:
        thread.join()
    return sorted(type(found[0]).__name__ for _, found in presses), row.resends.count()


def test_pressed_twice_at_once_it_is_sent_once_more_once(office, monkeypatch):
    assert resend_twice_at_once(office, monkeypatch) == (["EmailMessage", "NotPossible"], 1)


def test_control_without_the_lock_only_the_key_stands_in_the_way(office, monkeypatch):
    monkeypatch.setattr(models.QuerySet, "select_for_update", lambda queryset, **options: queryset)

    assert resend_twice_at_once(office, monkeypatch) == (["EmailMessage", "IntegrityError"], 1)


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guarded", "unguarded"])
def test_two_confirmations_of_a_message_at_once_send_once(monkeypatch, is_guarded):
    course = create_course()
    enroll(course)
    message = message_to(course)
    fingerprint, start = reach_of(message).fingerprint, threading.Barrier(2)
    if not is_guarded:
        monkeypatch.setattr(FamilyMessage, "confirm", lambda self, by: None)

    def confirm():
        start.wait()
        send(message=FamilyMessage.objects.get(), by=message.by, fingerprint=fingerprint)
        return "sent"

    presses = [in_thread(confirm) for _ in range(2)]
    for thread, _ in presses:
        thread.join()

    outcomes = {found if found == "sent" else type(found).__name__ for _, (found,) in presses}
    assert outcomes == {"sent", "AlreadySent" if is_guarded else "IntegrityError"}
    assert EmailMessage.objects.count() == 1


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guarded", "unguarded"])
def test_a_drain_and_a_fold_lock_the_same_emails_in_the_same_order(monkeypatch, is_guarded):
    """Whoever waits for the first email does not hold the second."""
    if not is_guarded:
        backwards = settle_module.SETTLE_MESSAGES.replace("ORDER BY message.id", "ORDER BY message.id DESC")
        monkeypatch.setattr(settle_module, "SETTLE_MESSAGES", backwards)
    owe(2, status="sending", tries=1)
    attempts = [EmailAttempt.objects.create(message=email) for email in EmailMessage.objects.order_by("-pk")]
    first, second = EmailMessage.objects.order_by("pk")
    second_again = EmailMessage.objects.select_for_update(no_key=True, nowait=True).filter(pk=second.pk)

    with transaction.atomic():
        EmailMessage.objects.select_for_update(no_key=True).get(pk=first.pk)
        thread, found = in_thread(
            lambda: settle_module.settle([(attempt, Result(Outcome.SENT)) for attempt in attempts])
        )
        wait_until(is_a_lock_awaited)
        second_is_held = contextlib.nullcontext() if is_guarded else pytest.raises(OperationalError)
        with second_is_held, transaction.atomic():
            second_again.get()
    thread.join()

    assert found == [None]
    assert [email.status for email in EmailMessage.objects.all()] == ["sent", "sent"]
