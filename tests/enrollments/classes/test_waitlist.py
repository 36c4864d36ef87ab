"""Who waits for a seat, in which order they are served, and that nobody gets past them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from csf.proofs.invariants import violations
from enrollments.admin.waitlist_actions import Place
from enrollments.classes.waitlist import IN_ORDER, close_waitlist, sweep
from enrollments.models import Course, Enrollment, EnrollmentTransition
from notifications.models import EmailMessage
from orders.refusal import OrderRefused
from tests.factories import create_cart, create_child, create_course, create_order, create_staff
from tests.pages import parent_of, queries, words
from tests.staff_forms import hide_page, press
from tests.waitlist import ask_to_join, end_offer, family, free, full_class, join, place_of

pytestmark = pytest.mark.django_db


def statuses(*places):
    return [Enrollment.objects.get(pk=place.pk).status for place in places]


def buy(household, course):
    """By the cart, as the public does. Says why not."""
    try:
        create_order(household=household, courses=[course])
    except OrderRefused as refusal:
        return refusal.message
    return "bought"


# --- Joining and leaving ------------------------------------------------------------------------------------


def test_a_full_class_offers_its_waitlist_and_says_where_one_stands():
    course, first, second = full_class(), family("Lopez"), family("Chen")
    join(first, course)

    before = words(parent_of(second).get(course.get_absolute_url()))
    answer = ask_to_join(second, course)
    after = words(parent_of(second).get(course.get_absolute_url()))
    children = words(parent_of(second).get(reverse("children")))
    account = words(parent_of(second).get(reverse("account")))

    assert "This class is full, and 1 child is on the waitlist." in before
    assert "Join the waitlist" in before
    assert answer.url == course.get_absolute_url()
    for page in (after, children, account):
        assert "2nd in line" in page
        assert "Leave the waitlist" in page
    told = EmailMessage.objects.get(to=second.guardians.get().email)
    assert (told.kind, told.context["position"], told.context["tier"]) == ("waitlist_joined", 2, "regular")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda course, child: Course.objects.filter(pk=course.pk).update(capacity=2), "has places left"),
        (lambda course, child: Course.objects.filter(pk=course.pk).update(age_min=12), "is for ages"),
        (lambda course, child: child.emergency_contacts.all().delete(), "emergency contact"),
        (
            lambda course, child: Course.objects.filter(pk=course.pk).update(
                registration_closes_at=timezone.now()
            ),
            "is closed",
        ),
        (lambda course, child: join(child.household, course), "already has a place"),
    ],
    ids=["places left", "age", "no contact", "closed", "waits already"],
)
def test_who_cannot_register_cannot_wait(prepare, said):
    course, household = full_class(), family()
    prepare(course, household.children.get())
    waiting = course.enrollments.filter(status="waitlisted").count()

    page = parent_of(household)
    sent = {"child": household.children.get().public_id, "tier": "regular"}
    answer = page.post(reverse("join_waitlist", args=[course.slug]), sent, follow=True)

    assert said in answer.text
    assert course.enrollments.filter(status="waitlisted").count() == waiting


def test_leaving_asks_first_and_moves_the_others_up():
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    page = reverse("leave_waitlist", args=[places[0].public_id])

    asked = words(parent_of(first).get(page))
    before = statuses(*places)
    parent_of(first).post(page)

    assert "1st in line" in asked
    assert before == ["waitlisted", "waitlisted"]
    assert statuses(*places) == ["declined", "waitlisted"]
    assert Enrollment.objects.with_position().get(pk=places[1].pk).position == 1
    assert EnrollmentTransition.objects.latest("pk").by == first.guardians.get()
    assert place_of(first, course) == places[0]
    again = join(first, course)
    assert Enrollment.objects.with_position().get(pk=again.pk).position == 2


def test_pages_ask_the_same_number_of_queries_however_many_wait():
    household = family()
    client = parent_of(household)
    join(household, full_class())
    once = [queries(client, reverse(name)) for name in ("children", "account")]

    for _ in range(3):
        join(household, full_class())

    assert [queries(client, reverse(name)) for name in ("children", "account")] == once


# --- Who gets the seat --------------------------------------------------------------------------------------


def test_a_seat_that_is_given_up_goes_to_the_first_in_line():
    course, *families = full_class(), family("Lopez"), family("Chen"), family("Novak")
    places = [join(household, course) for household in families]

    free(course)
    first = statuses(*places)
    end_offer(places[0])
    sweep(now=timezone.now())

    assert first == ["offered", "waitlisted", "waitlisted"]
    assert statuses(*places) == ["lapsed", "offered", "waitlisted"]
    assert course.enrollments.get(status="offered").expires_at > timezone.now() + timedelta(hours=11)
    assert violations() == []


def test_nobody_buys_past_the_line():
    course, waiting, stranger = full_class(), family("Lopez"), family("Chen")
    place = join(waiting, course)
    create_cart(household=stranger, courses=[course])

    # Free for a moment, as if the sweep had not come yet.
    Course.objects.filter(pk=course.pk).update(capacity=2)
    page = parent_of(stranger).get(course.get_absolute_url())
    past_the_line = buy(stranger, course)
    sweep(now=timezone.now())
    past_the_offer = buy(stranger, course)
    Course.objects.filter(pk=course.pk).update(capacity=3)

    assert "Full" in words(page)
    assert "join the waitlist" in past_the_line
    assert "join the waitlist" in past_the_offer
    assert statuses(place) == ["offered"]
    assert buy(stranger, course) == "bought"


def test_no_offer_after_the_start_or_for_a_class_off_the_list():
    started, hidden = full_class(), full_class()
    for course in (started, hidden):
        join(family(), course)
    Course.objects.filter(pk=started.pk).update(starts_on=timezone.localdate() - timedelta(days=1))
    Course.objects.filter(pk=hidden.pk).update(is_published=False)

    free(started)
    free(hidden)
    sweep(now=timezone.now())

    assert not Enrollment.objects.filter(status="offered").exists()
    assert violations() == []


def test_an_offer_ends_when_the_class_starts():
    course = full_class()
    join(family(), course)
    Course.objects.filter(pk=course.pk).update(starts_on=timezone.localdate() + timedelta(days=1))

    free(course)

    ends_at = course.enrollments.get(status="offered").expires_at
    assert ends_at <= timezone.now() + timedelta(hours=24)
    assert timezone.localtime(ends_at).date() <= timezone.localdate() + timedelta(days=1)


def test_closing_the_waitlist_tells_everybody():
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    free(course)

    closed = close_waitlist(course, by=None, reason="the class does not take place")

    assert closed == 2
    assert statuses(*places) == ["declined", "declined"]
    told = EmailMessage.objects.filter(kind="waitlist_lapsed")
    assert [row.context["why"] for row in told] == ["closed", "closed"]


# --- Staff --------------------------------------------------------------------------------------------------


@pytest.fixture
def office(client):
    client.force_login(create_staff())
    return client


def act(office, place, name, **typed):
    page = reverse("admin:enrollments_enrollment_waitlist", args=[place.pk, name])
    return office.post(page, {"fingerprint": Place.of(place.pk).fingerprint} | typed)


def test_staff_offer_a_seat_out_of_order_with_a_reason(office):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]

    no_reason = act(office, places[1], "offer")
    no_seat = act(office, places[1], "offer", reason="a twin is enrolled")
    given = act(office, places[1], "offer", reason="a twin is enrolled", add_seat="on")

    assert "Give a reason" in no_reason.text
    assert "No place is free" in no_seat.text
    assert given.status_code == 302
    assert statuses(*places) == ["waitlisted", "offered"]
    row = EnrollmentTransition.objects.latest("pk")
    assert (row.reason, row.by.is_staff) == ("a twin is enrolled", True)
    assert Course.objects.get(pk=course.pk).capacity == 2
    assert violations() == []


def test_staff_take_a_family_off_and_it_is_told(office):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    free(course)

    act(office, places[0], "take-off", reason="moved to another town")

    assert statuses(*places) == ["declined", "offered"]
    assert EmailMessage.objects.get(kind="waitlist_lapsed").to == first.guardians.get().email


def test_more_seats_go_to_who_waits_and_a_hidden_class_has_no_line(office):
    course, first, second = full_class(), family("Lopez"), family("Chen")
    places = [join(first, course), join(second, course)]
    page = reverse("admin:enrollments_course_change", args=[course.pk])

    shown = office.get(page)
    form = shown.context["adminform"].form
    typed = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    dates = {
        f"{name}_{part}": timezone.localtime(getattr(course, name)).strftime(way)
        for name in ("registration_opens_at", "registration_closes_at")
        for part, way in ((0, "%Y-%m-%d"), (1, "%H:%M:%S"))
    }
    formset = {f"sessions-{name}": 0 for name in ("TOTAL_FORMS", "INITIAL_FORMS")}
    office.post(page, typed | dates | formset | {"capacity": 2})
    with_a_seat_more = statuses(*places)
    press(office, hide_page(course))

    assert "Waitlist: 2 waiting (0 priority), 0 offered now" in shown.text
    assert with_a_seat_more == ["offered", "waitlisted"]
    assert statuses(*places) == ["declined", "declined"]


# --- Invariants ---------------------------------------------------------------------------------------------


def numbers():
    return {found.number for found in violations()}


@pytest.fixture
def line():
    """Two who have waited for a day, the first of them longer."""
    course = full_class()
    places = [join(family(name), course) for name in ("Lopez", "Chen")]
    for place, days in zip(places, (2, 1), strict=True):
        since = timezone.now() - timedelta(days=days)
        Enrollment.objects.filter(pk=place.pk).update(joined_at=since)
    return [Enrollment.objects.get(pk=place.pk) for place in places]


def offer_seat(place, reason):
    Course.objects.filter(pk=place.course_id).update(capacity=2)
    place.offer(seat_number=2, until=timezone.now() + timedelta(hours=1), by=None, reason=reason)


@pytest.mark.parametrize(
    ("reason", "found"), [(IN_ORDER, {"S5"}), ("", {"S5"}), ("a twin is enrolled", set())]
)
def test_s5_sees_an_offer_that_went_past_somebody(line, reason, found):
    offer_seat(line[1], reason)

    assert numbers() == found


def test_s5_knows_that_priority_goes_first(line):
    Enrollment.objects.filter(pk=line[1].pk).update(
        tier="priority", priority_at=timezone.now() - timedelta(hours=1)
    )
    line[1].refresh_from_db()

    offer_seat(line[1], IN_ORDER)
    in_order = numbers()
    Course.objects.filter(pk=line[0].course_id).update(capacity=3)
    child = create_child(household=family("Novak"))
    late = Enrollment.objects.create(
        child=child, course=line[0].course, status="waitlisted", tier="regular", joined_at=timezone.now()
    )
    late.offer(seat_number=3, until=timezone.now() + timedelta(hours=1), by=None, reason=IN_ORDER)

    assert in_order == set()
    assert numbers() == {"S5"}


def test_s7_sees_a_seat_that_idles_while_somebody_waits(line):
    course = line[0].course
    long_ago = timezone.now() - timedelta(minutes=16)
    just_freed = numbers()
    Course.objects.filter(pk=course.pk).update(capacity=2)
    moved_just_now = numbers()
    rows = EnrollmentTransition.objects.filter(enrollment__course=course)
    with_no_trigger(rows, created_at=long_ago)

    assert (just_freed, moved_just_now) == (set(), set())
    assert numbers() == {"S7"}
    sweep(now=timezone.now())
    assert numbers() == set()


def with_no_trigger(rows, **values):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE enrollments_enrollmenttransition DISABLE TRIGGER USER")
        rows.update(**values)
        cursor.execute("ALTER TABLE enrollments_enrollmenttransition ENABLE TRIGGER USER")


def test_a_class_with_seats_has_no_waitlist_form():
    page = parent_of(family()).get(create_course().get_absolute_url())

    assert "waitlist" not in page.text
