"""Who gets an email about a class that has moved, with which words and files, and at which cost."""

import threading

import pytest
import requests
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from enrollments.classes import changes
from enrollments.classes.changes import NotConfirmed, change_course
from enrollments.models import Course, CourseChange, Enrollment
from notifications.facts.calendar import attachments
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from tests.bench.rows import create_families
from tests.enrollments.classes.moved_class import DAY, REASON, enrolled, mails, mill, page_of
from tests.factories import create_course, create_household, create_order, create_staff
from tests.waiting import is_a_lock_awaited, wait_until


def move(course, by, location=None):
    """As the page does it after the question."""

    def save():
        Course.objects.filter(pk=course.pk).update(location=location or mill())

    options = {"course": course, "edit": save, "by": by, "now": timezone.now()}
    with pytest.raises(NotConfirmed) as asked:
        change_course(**options, reason="", fingerprint="")
    return change_course(**options, reason=REASON, fingerprint=asked.value.change.fingerprint)


@pytest.mark.django_db
def test_one_email_to_a_family_for_all_its_children_and_a_file_for_each_who_is_enrolled():
    course = create_course(sessions=10)
    household = create_household(children=3)
    first = enrolled(course, household)
    second, third = household.children.order_by("pk")[1:]
    on_offer = Enrollment.objects.create(child=second, course=course, status="on_offer")
    offered = Enrollment.objects.create(
        child=third,
        course=course,
        status="offered",
        seat_number=3,
        tier="regular",
        joined_at=timezone.now(),
        expires_at=timezone.now() + DAY,
    )
    held = create_order(courses=[course])

    move(course, create_staff())

    mail, other = mails()
    assert mail.context["children"] == [str(row.child) for row in (first, on_offer, offered)]
    files = attachments(mail.context)
    assert [file.name for file in files] == ["class.ics", "class-2.ics"]
    texts = [file.content.replace("\r\n ", "") for file in files]
    assert all(str(row.public_id) in text for row, text in zip((first, on_offer), texts, strict=True))
    assert (other.to, attachments(other.context)) == (held.household.guardians.get().email, [])


@pytest.mark.django_db
def test_who_gave_the_place_up_meanwhile_is_not_told(mail_server):
    course = create_course(sessions=10)
    staff, household = create_staff(), create_household(children=2)
    stays = enrolled(course, household)
    sibling = Enrollment.objects.create(
        child=household.children.last(), course=course, status="active", seat_number=2
    )
    leaves = enrolled(course)
    EmailMessage.objects.all().delete()
    move(course, staff)
    cancel_enrollment(enrollment=leaves, by=staff, reason="moved away", now=timezone.now())
    Enrollment.objects.filter(pk=stays.pk).update(status="cancelled", seat_number=None)

    drain()

    # One of the family's children is still there.
    assert dict(mails().values_list("fact_id", "status")) == {stays.pk: "sent", leaves.pk: "expired"}
    assert sibling.status == "active"


def test_the_provider_gets_the_email_and_its_files(committed_db, mail_server):
    course = create_course(sessions=10)
    enrolled(course)
    move(course, create_staff())

    drain()

    sent = {mail["kind"]: mail for mail in requests.get(f"{mail_server.url}/_messages", timeout=60).json()}
    assert [file["filename"] for file in sent["class_moved"]["attachments"]] == ["class.ics"]


@pytest.mark.django_db
def test_two_hundred_families_cost_as_many_statements_as_twenty():
    statements = []
    location = mill()
    for count in (20, 200):
        course = create_course(sessions=10, capacity=count)
        children = [user.household.children.first() for user in create_families(count)]
        Enrollment.objects.bulk_create(
            Enrollment(child=child, course=course, status="active", seat_number=number + 1)
            for number, child in enumerate(children)
        )
        staff = create_staff()
        with CaptureQueriesContext(connection) as queries:
            move(course, staff, location)
        statements.append(len(queries))

    assert mails().count() == 220
    assert statements[0] == statements[1] <= 50  # of which one half was asked and undone


@pytest.mark.django_db
def test_the_fact_and_its_emails_commit_together_and_stay():
    course = create_course(sessions=10)
    enrolled(course)
    with transaction.atomic():
        move(course, create_staff())
        transaction.set_rollback(True)
    assert (CourseChange.objects.count(), mails().count()) == (0, 0)

    change = move(course, create_staff())
    for act in (change.delete, lambda: CourseChange.objects.update(reason="another")):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            act()


@pytest.mark.parametrize("is_guarded", [True, False], ids=["guarded", "without"])
def test_a_family_that_is_enrolled_meanwhile_has_the_new_place(committed_db, monkeypatch, is_guarded):
    """Without the lock on the seats its first calendar file has the old place, and no correction comes."""
    course = create_course(sessions=10)
    order = create_order(courses=[course])
    staff, location = create_staff(), mill()
    is_confirmed, is_moved = threading.Event(), threading.Event()
    if not is_guarded:
        monkeypatch.setattr(changes, "_locked_families", lambda course: set(changes.seats_of(course)))

    def confirm_slowly():
        try:
            with transaction.atomic():
                order.confirm(reason="paid")
                is_confirmed.set()
                wait_until(lambda: is_moved.is_set() or is_a_lock_awaited())
        finally:
            connection.close()

    thread = threading.Thread(target=confirm_slowly)
    thread.start()
    is_confirmed.wait()
    move(course, staff, location)
    is_moved.set()
    thread.join()

    told = EmailMessage.objects.filter(to=order.household.guardians.get().email)
    calendars = [row for mail in told for row in mail.context.get("calendars", [])]
    newest = max(calendars, key=lambda row: row["sequence"])
    assert newest["place"] == ("Old Mill, 1 Mill Lane" if is_guarded else "Harbour Pool, 3 Quay Road")
    assert told.filter(kind="class_moved").count() == 1


def test_who_may_not_change_a_class_is_not_asked(db):
    client, office = Client(), create_staff(is_superuser=False)
    client.force_login(office)
    course = create_course(sessions=10)
    enrolled(course)

    assert client.post(page_of(course), {"location": mill().pk}).status_code == 403
    assert CourseChange.objects.count() == 0
