"""Another place or other times for a class: what staff are asked, and what each family is told."""

import re
import threading
from datetime import date, time, timedelta
from html import unescape

import pytest
import requests
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from icalendar import Calendar

from billing.changes.cancellation import cancel_enrollment
from billing.changes.class_end import complete_ended_classes
from csf.clock import Now
from csf.dates import local_date, start_of_day
from enrollments.classes import changes
from enrollments.classes.changes import NotConfirmed, change_course
from enrollments.models import Course, CourseChange, CourseSession, Enrollment, Location
from notifications.facts.calendar import attachments
from notifications.models import EmailMessage
from notifications.rendering.render import render
from notifications.sending.drain import drain
from tests.bench.rows import create_families
from tests.factories import create_course, create_household, create_order, create_staff
from tests.waiting import is_a_lock_awaited, wait_until

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
REASON = "The pool is being repaired."


@pytest.fixture
def staff(client, db):
    client.user = create_staff()
    client.force_login(client.user)
    return client


def enrolled(course, household=None):
    """Enrolled, and told so."""
    order = create_order(household=household, courses=[course])
    order.confirm(reason="paid")
    return Enrollment.objects.get(order_item__order=order)


def mill():
    return Location.objects.get_or_create(name="Old Mill", defaults={"address": "1 Mill Lane"})[0]


def mails():
    return EmailMessage.objects.filter(kind="class_moved").order_by("pk")


def page_of(course):
    return reverse("admin:enrollments_course_change", args=[course.pk])


def typed(answer):
    """What the form of a page would send as it stands."""
    repeated = {"dates-add", "dates-delete"}
    fields = {name: [] for name in repeated if f'name="{name}"' in answer.text}
    for tag, attributes in re.findall(r"<(input|textarea|select)\b([^>]*)>", answer.text):
        name = re.search(r'\bname="([^"]*)"', attributes)
        if not name or name[1].startswith("_") or name[1] == "csrfmiddlewaretoken":
            continue
        if 'type="checkbox"' in attributes:
            if "checked" in attributes:
                fields[name[1]] = "on"
        elif tag == "input":
            value = re.search(r'\bvalue="([^"]*)"', attributes)
            text = unescape(value[1]) if value else ""
            fields[name[1]] = [*fields[name[1]], text] if name[1] in repeated else text
    for name, text in re.findall(r'<textarea[^>]*\bname="([^"]*)"[^>]*>(.*?)</textarea>', answer.text, re.S):
        fields[name] = unescape(text).removeprefix("\r").removeprefix("\n")
    for name, options in re.findall(r'<select[^>]*\bname="([^"]*)"[^>]*>(.*?)</select>', answer.text, re.S):
        chosen = re.search(r'value="([^"]*)"\s+selected', options)
        fields[name] = chosen[1] if chosen else ""
    return {name: value for name, value in fields.items() if "__prefix__" not in name and name != "q"}


def edit(staff, course, **changes):
    """Save the form of the class with these changes."""
    form = typed(staff.get(page_of(course)))
    assert changes.keys() <= form.keys()
    return staff.post(page_of(course), form | changes)


def confirm(staff, course, answer, reason=REASON):
    """Send what the question shows, as a browser would."""
    assert answer.template_name == "admin/enrollments/course_move.html", answer
    return staff.post(page_of(course), typed(answer) | {"move-reason": reason})


def moved(staff, course, **changes):
    answer = confirm(staff, course, edit(staff, course, **changes))
    assert answer.status_code == 302
    course.refresh_from_db()
    return mails().last()


def dates(course):
    return list(course.sessions.values_list("held_on", flat=True))


# --- The page -----------------------------------------------------------------------------------------------


def test_staff_see_whom_no_email_reaches(staff):
    course, household = create_course(sessions=10), create_household()
    enrolled(course, household)
    household.guardians.update(is_active=False)

    asked = edit(staff, course, location=mill().pk)

    assert f"{household}: the family has no guardian with an account" in asked.text


def test_another_place_is_asked_about_and_told_once_with_old_and_new(staff):
    course = create_course(sessions=10)
    household = create_household()
    place = enrolled(course, household)
    EmailMessage.objects.all().delete()

    asked = edit(staff, course, location=mill().pk)

    assert asked.status_code == 200
    assert "1 family is told about the change by email" in re.sub(r"<[^>]+>", "", asked.text)
    assert asked.context["schedule_change"].differences == [
        ("Place", "Harbour Pool, 3 Quay Road", "Old Mill, 1 Mill Lane")
    ]
    course.refresh_from_db()
    assert (course.location.name, CourseChange.objects.count(), mails().count()) == ("Harbour Pool", 0, 0)

    assert confirm(staff, course, asked).status_code == 302
    course.refresh_from_db()
    change, mail = CourseChange.objects.get(), mails().get()
    assert (course.location.name, change.reason, change.by) == ("Old Mill", REASON, staff.user)
    assert (change.before["location"], change.after["location"]) == ("Harbour Pool", "Old Mill")
    user = household.guardians.get()
    assert mail.dedupe_key == f"class_moved:change:{change.pk}:{household.pk}:{user.pk}"
    assert (mail.to, mail.fact_id) == (user.email, place.pk)
    assert mail.expires_at == start_of_day(course.ends_on + DAY)
    (file,) = attachments(mail.context)
    (event,) = Calendar.from_ical(file.content).walk("VEVENT")
    assert (event["location"], event["sequence"]) == ("Old Mill, 1 Mill Lane", 2)  # 1 in the confirmation
    text = render("class_moved", mail.context).text
    for words in (
        f"New place for {course.title}",
        "was Harbour Pool, 3 Quay Road",
        "Place: Old Mill, 1 Mill Lane",
        REASON,
        str(place.child),
    ):
        assert words in text
    assert text.count("Time: ") == 1

    assert edit(staff, course).status_code == 302  # the same form once more
    assert (CourseChange.objects.count(), mails().count()) == (1, 1)
    listed = staff.get(page_of(course)).text
    assert "Changes that families were emailed about" in listed
    assert REASON in listed


def test_other_times_take_the_sessions_to_come_along(staff):
    course = create_course(sessions=10)
    enrolled(course)
    past, _, by_hand = course.sessions.all()[:3]
    CourseSession.objects.filter(pk=past.pk).update(held_on=local_date(timezone.now()) - WEEK)
    CourseSession.objects.filter(pk=by_hand.pk).update(held_on=by_hand.held_on + 2 * DAY)
    EmailMessage.objects.all().delete()
    before = dates(course)
    later = (course.weekday + 1) % 7
    days = (later - course.weekday) * DAY
    if course.weekday == 6:  # Monday of that week is before the class begins
        days += WEEK

    mail = moved(staff, course, weekday=later, start_time="17:00:00", end_time="18:00:00")

    expected = [day if day in {before[0], by_hand.held_on + 2 * DAY} else day + days for day in before]
    assert dates(course) == sorted(expected)
    assert course.ends_on >= dates(course)[-1]
    past.refresh_from_db()
    assert (past.held_on, past.start_time) == (before[0], time(16, 30))
    change = CourseChange.objects.get()
    assert before[0].isoformat() not in {row["on"] for row in change.before["sessions"]}
    assert len(mail.context["dates"]) == 9
    assert len(mail.context["gone"]) == 8
    assert mail.context["was"]["start_time"] == "16:30:00"
    events = Calendar.from_ical(attachments(mail.context)[0].content).walk("VEVENT")
    assert max(event["dtstart"].dt.time() for event in events) == time(17, 0)


def test_one_date_that_is_moved_or_added_or_removed(staff):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    second, third = course.sessions.all()[1:3]

    mail = moved(staff, course, **{"sessions-1-held_on": (second.held_on + DAY).isoformat()})
    assert [row["on"] for row in mail.context["gone"]] == [second.held_on.isoformat()]
    assert [row["on"] for row in mail.context["dates"]] == [day.isoformat() for day in dates(course)]
    assert (mail.context["is_elsewhere"], mail.context["is_at_other_times"]) == (False, True)

    form = typed(staff.get(page_of(course)))
    asked = staff.post(page_of(course), form | {"sessions-2-DELETE": "on"})
    assert confirm(staff, course, asked).status_code == 302
    assert third.held_on not in dates(course)
    assert [mail.context["calendars"][0]["sequence"] for mail in mails()] == [2, 3]


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("a typo", {"title": "Dolphin Swimming"}),
        ("words", {"description": "New words", "what_to_bring": "A towel"}),
        ("a seat", {"capacity": 9}),
        ("nothing", {}),
    ],
)
def test_what_tells_nobody(staff, what, changes):
    course = create_course(sessions=10)
    enrolled(course)

    assert edit(staff, course, **changes).status_code == 302

    course.refresh_from_db()
    assert all(str(getattr(course, name)) == str(value) for name, value in changes.items())
    assert (CourseChange.objects.count(), mails().count()) == (0, 0)


@pytest.mark.parametrize(
    "what", ["nobody enrolled", "all left", "only waiting", "over", "cancelled", "past date"]
)
def test_who_is_not_asked_about(staff, what):
    course = create_course(sessions=10)
    changes = {"location": mill().pk}
    if what != "nobody enrolled":
        place = enrolled(course)
    match what:
        case "all left":
            cancel_enrollment(enrollment=place, by=staff.user, reason="moved", now=timezone.now())
        case "only waiting":
            Enrollment.objects.filter(pk=place.pk).update(
                status="waitlisted", seat_number=None, tier="regular", joined_at=Now()
            )
        case "over":
            Course.objects.update(starts_on=date(2026, 1, 5), ends_on=date(2026, 3, 5), weekday=0)
            course.sessions.all().delete()
            CourseSession.objects.create(
                course=course, held_on=date(2026, 1, 5), start_time="10:00", end_time="11:00"
            )
        case "cancelled":
            Course.objects.update(cancelled_at=Now())
        case "past date":
            first = course.sessions.first()
            CourseSession.objects.filter(pk=first.pk).update(held_on=local_date(timezone.now()) - 3 * DAY)
            changes = {"sessions-0-held_on": (local_date(timezone.now()) - 2 * DAY).isoformat()}

    assert edit(staff, course, **changes).status_code == 302
    assert (CourseChange.objects.count(), mails().count()) == (0, 0)


def test_the_reason_is_needed_and_what_was_seen_must_still_be_so(staff):
    course = create_course(sessions=10)
    enrolled(course)
    asked = edit(staff, course, location=mill().pk)

    without = confirm(staff, course, asked, reason="  ")
    assert "Give a reason: the families will see it." in without.text
    enrolled(course)  # another family meanwhile
    outdated = confirm(staff, course, without)
    assert "have changed since you saw this" in outdated.text
    assert "2 families are told about the change by email" in re.sub(r"<[^>]+>", "", outdated.text)
    assert mails().count() == 0

    assert confirm(staff, course, outdated).status_code == 302
    assert mails().count() == 2
    assert EmailMessage.objects.filter(context__reason=REASON).count() == 2


def test_a_second_click_tells_nobody_twice(staff):
    course = create_course(sessions=10)
    enrolled(course)
    asked = edit(staff, course, location=mill().pk)

    assert [confirm(staff, course, asked).status_code for _ in range(2)] == [302, 302]
    assert (CourseChange.objects.count(), mails().count()) == (1, 1)


def test_hostile_words_stay_words(staff):
    course = create_course(sessions=10)
    enrolled(course)
    bad = "<script>alert(1)</script>"

    asked = edit(staff, course, location=mill().pk, description=bad)
    assert "<script>alert" not in asked.text
    assert confirm(staff, course, asked, reason=bad).status_code == 302

    course.refresh_from_db()
    assert course.description == bad
    assert "<script>alert" not in render("class_moved", mails().get().context).html
    assert "<script>alert" not in staff.get(page_of(course)).text


# --- Who is told --------------------------------------------------------------------------------------------


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


# --- Other first and last days ------------------------------------------------------------------------------


def answer_dates(staff, course, asked, *, days=None):
    """Send the question about the sessions: all that it proposes, or only these days."""
    assert asked.template_name == "admin/enrollments/course_dates.html", asked
    form = typed(asked) | {"dates-add": days if days is not None else asked.context["question"].missing}
    form["dates-delete"] = [session.pk for session in asked.context["question"].outside]
    return staff.post(page_of(course), form)


@pytest.mark.parametrize("weeks", [1, 3])
def test_a_later_last_day_needs_sessions_and_the_email_names_them(staff, weeks):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    last = course.ends_on

    asked = edit(staff, course, ends_on=last + weeks * WEEK)
    none = answer_dates(staff, course, asked, days=[])
    assert "Choose at least one date" in none.text
    course.refresh_from_db()
    assert (course.ends_on, course.sessions.count(), mails().count()) == (last, 10, 0)

    tell = answer_dates(staff, course, asked)
    assert confirm(staff, course, tell, reason="Everybody wanted more.").status_code == 302

    course.refresh_from_db()
    added = [last + number * WEEK for number in range(1, weeks + 1)]
    assert (course.ends_on, dates(course)[10:]) == (added[-1], added)
    mail = mails().get()
    text = render("class_moved", mail.context).text
    assert f"More dates for {course.title}" in text
    assert "New times" not in text
    assert "No longer" not in text
    assert [row["on"] for row in mail.context["dates"]][10:] == [day.isoformat() for day in added]
    assert [row["is_new"] for row in mail.context["dates"]] == [False] * 10 + [True] * weeks
    assert text.count("(new)") == weeks
    assert mail.context["last_on"] == added[-1].isoformat()


def test_only_the_chosen_dates_are_added_and_the_end_said_is_the_last_of_them(staff):
    course = create_course(sessions=10)
    enrolled(course)
    first, last = course.ends_on + WEEK, course.ends_on + 2 * WEEK

    asked = edit(staff, course, ends_on=last)
    confirm(staff, course, answer_dates(staff, course, asked, days=[first]))

    assert dates(course)[10:] == [first]
    assert mails().get().context["last_on"] == first.isoformat()


def test_dates_before_the_first_are_offered_and_those_outside_are_deleted_once_confirmed(staff):
    course = create_course(sessions=10)
    enrolled(course)
    first, last = course.starts_on, course.ends_on

    asked = edit(staff, course, starts_on=first - WEEK, ends_on=last - 2 * WEEK)
    question = asked.context["question"]
    assert question.missing == [first - WEEK]
    assert [session.held_on for session in question.outside] == [last - WEEK, last]
    confirm(staff, course, answer_dates(staff, course, asked))

    course.refresh_from_db()
    expected = [first - WEEK + number * WEEK for number in range(9)]
    assert (course.starts_on, course.ends_on, dates(course)) == (first - WEEK, last - 2 * WEEK, expected)
    assert mails().get().context["is_at_other_times"]


def test_a_shorter_class_says_fewer_dates(staff):
    course = create_course(sessions=10)
    enrolled(course)

    confirm(staff, course, answer_dates(staff, course, edit(staff, course, ends_on=course.ends_on - WEEK)))

    text = render("class_moved", mails().get().context).text
    assert f"Fewer dates for {course.title}" in text
    assert len(dates(course)) == 9


@pytest.mark.parametrize(
    "what", ["no weekly date in it", "sessions typed with it", "shorter within the last week"]
)
def test_last_days_that_ask_nothing(staff, what):
    course = create_course(sessions=10)
    enrolled(course)
    EmailMessage.objects.all().delete()
    last = course.ends_on
    changes = {"ends_on": last + 3 * DAY}
    if what == "sessions typed with it":
        changes = {"ends_on": last + 3 * WEEK, "sessions-9-held_on": last + 3 * WEEK}
    if what == "shorter within the last week":
        Course.objects.update(ends_on=last + 5 * DAY)
        changes = {"ends_on": last + DAY}

    answer = edit(staff, course, **changes)

    course.refresh_from_db()
    if what == "sessions typed with it":
        assert answer.template_name == "admin/enrollments/course_move.html"
        return
    assert (answer.status_code, course.ends_on, mails().count()) == (302, changes["ends_on"], 0)


def test_a_class_that_goes_on_after_its_end_has_its_children_and_orders_again(staff):
    course = create_course(sessions=10)
    place = enrolled(course)
    part = place.order_item.order.installments.get()
    part.start_charging()
    part.pay(reason="paid")
    gone = local_date(timezone.now()) - 12 * WEEK
    for number, session in enumerate(course.sessions.all()):
        CourseSession.objects.filter(pk=session.pk).update(held_on=gone + number * WEEK)
    Course.objects.update(starts_on=gone, ends_on=gone + 9 * WEEK, weekday=gone.weekday())
    complete_ended_classes(on=local_date(timezone.now()))
    place.refresh_from_db()
    order = place.order_item.order
    ended = (place.status, order.status)
    course.refresh_from_db()

    asked = edit(staff, course, ends_on=course.ends_on + 8 * WEEK)
    confirm(staff, course, answer_dates(staff, course, asked))

    place.refresh_from_db()
    order.refresh_from_db()
    assert ended == ("completed", "completed")
    assert (place.status, place.seat_number, order.status) == ("active", 1, "confirmed")
    assert "More dates for" in render("class_moved", mails().get().context).subject
