"""A class has another time or place: one email to each family, for all its children."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter

from django.db.models import Exists, OuterRef, Prefetch
from django.utils.translation import gettext_lazy as _

from csf.dates import start_of_day
from enrollments.classes.changes import only_in, seats_of
from enrollments.models import Course, CourseChange, Enrollment, EnrollmentStatus, User
from enrollments.models.seats import HAS_SEAT
from notifications.facts.calendar import PlaceState, calendar_facts, place_states
from notifications.facts.readers import readers
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import HOSTILE, HOSTILE_CLASS, LONG, ROBOTICS, SWIMMING, calendar
from notifications.facts.snapshots import course_facts
from notifications.spec import Email, Samples, Snapshot, Trigger
from orders.models import Order

SLOT = ("weekday", "start_time", "end_time")
IN_CALENDAR = {EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER}  # the others have no file yet


@dataclass(frozen=True)
class MovedFamily:
    """A change of a class, for one family with seats in it."""

    change: CourseChange
    course: Course
    places: list[Enrollment]
    states: Mapping[int, PlaceState]
    recipients: list[User]

    @property
    def pk(self) -> int:
        """A place of the family: the email is useful while it has one in the class."""
        return self.places[0].pk

    @property
    def household_id(self) -> int:
        return self.places[0].child.household_id


def moved_families(change: CourseChange) -> list[MovedFamily]:
    """In the same few statements for any number of families."""
    guardians = Prefetch("child__household__guardians", readers())
    places = seats_of(change.course).select_related("child__household").prefetch_related(guardians)
    of_family: defaultdict[int, list[Enrollment]] = defaultdict(list)
    for place in places.order_by("pk"):
        of_family[place.child.household_id].append(place)
    states = place_states(place.pk for family in of_family.values() for place in family)
    course = (
        Course.objects.select_related("location")
        .prefetch_related("sessions", "changes")
        .get(pk=change.course_id)
    )
    return [
        MovedFamily(change, course, family, states, list(family[0].child.household.guardians.all()))
        for family in of_family.values()
    ]


def snapshot(fact: MovedFamily) -> Snapshot:
    before, after = fact.change.before, fact.change.after
    gone, added = only_in(before, after), only_in(after, before)
    is_at_other_times = any(before[name] != after[name] for name in SLOT) or bool(gone and added)
    has_more_dates = bool(added) and not is_at_other_times
    dates = [session | {"is_new": has_more_dates and session in added} for session in after["sessions"]]
    return course_facts(fact.course) | {
        "first_on": after["first_on"],
        "last_on": after["last_on"],
        "was": {name: before[name] for name in before if name != "sessions"},
        "is_elsewhere": any(before[name] != after[name] for name in ("location", "address")),
        "is_at_other_times": is_at_other_times,
        "has_more_dates": has_more_dates,
        "has_fewer_dates": bool(gone) and not is_at_other_times,
        "gone": gone,
        "dates": dates if gone or added else [],
        "reason": fact.change.reason,
        "children": [str(place.child) for place in fact.places],
        "calendars": [facts for place in fact.places for facts in _calendars(fact, place)],
    }


def _calendars(fact: MovedFamily, place: Enrollment) -> list[Snapshot]:
    if place.status not in IN_CALENDAR:
        return []
    place.course = fact.course
    return calendar_facts(place, state=fact.states[place.pk])


def expires(fact: MovedFamily) -> datetime.datetime:
    """after the last day of the class"""
    # Not with its next session: the later ones moved too.
    dates = [fact.change.after["last_on"], *(session["on"] for session in fact.change.after["sessions"])]
    return start_of_day(datetime.date.fromisoformat(max(dates)) + timedelta(days=1))


def still_have_a_seat(facts: Iterable[int]) -> set[int]:
    seats = Enrollment.objects.filter(
        child__household=OuterRef("child__household"), course=OuterRef("course"), status__in=HAS_SEAT
    )
    return set(Enrollment.objects.filter(Exists(seats), pk__in=facts).values_list("pk", flat=True))


def of_order(order: Order) -> MovedFamily | None:
    changes = CourseChange.objects.filter(course__order_items__order=order)
    change = changes.order_by("-pk").first()
    families = moved_families(change) if change else []
    return next((family for family in families if family.household_id == order.household_id), None)


PLAN = ("location", "address", "weekday", "start_time", "end_time", "first_on", "last_on")


def _dates(
    *days: str, start: str = "16:30:00", end: str = "17:15:00", is_new: bool = False
) -> list[Snapshot]:
    return [{"on": on, "from": start, "to": end, "is_new": is_new} for on in days]


def _move(course: Snapshot = SWIMMING, was: Snapshot | None = None, **changes: object) -> Snapshot:
    facts = {
        "first_name": "Maria",
        "children": ["Noah Lopez"],
        "was": {name: course[name] for name in PLAN} | (was or {}),
        "is_elsewhere": False,
        "is_at_other_times": False,
        "has_more_dates": False,
        "has_fewer_dates": False,
        "gone": [],
        "dates": [],
        "reason": "The pool is being repaired until June.",
        "calendars": [calendar(course)],
    }
    return course | facts | changes


ELSEWHERE: Snapshot = {"location": "Old Mill", "address": "1 Mill Lane, Springfield"}
AT_OTHER_TIMES: Snapshot = {"weekday": "Tuesday", "start_time": "15:00:00", "end_time": "15:45:00"}
GONE = _dates("2026-09-15", "2026-09-22", start="15:00:00", end="15:45:00")
DATES = _dates("2026-09-16", "2026-09-23", "2026-09-30")
NEW_DATE = _dates("2026-12-02", is_new=True)
SAMPLES: Samples = {
    "minimal": _move(
        was=ELSEWHERE, is_elsewhere=True, first_name="", address="", calendars=[], children=["Noah"]
    ),
    "typical": _move(
        was=ELSEWHERE | AT_OTHER_TIMES,
        is_elsewhere=True,
        is_at_other_times=True,
        gone=GONE,
        dates=DATES,
        children=["Noah Lopez", "Emma Lopez"],
        calendars=[calendar(SWIMMING), calendar(SWIMMING)],
    ),
    "other_times": _move(was=AT_OTHER_TIMES, is_at_other_times=True, gone=GONE, dates=DATES),
    "one_session": _move(
        is_at_other_times=True, gone=_dates("2026-09-23"), dates=_dates("2026-09-16", "2026-09-24")
    ),
    "extended": _move(
        was={"last_on": "2026-11-11"}, has_more_dates=True, dates=[*DATES, *_dates("2026-12-02", is_new=True)]
    ),
    "shortened": _move(was={"last_on": "2027-01-13"}, has_fewer_dates=True, gone=GONE, dates=DATES),
    "huge": _move(
        ROBOTICS | {"course": f"{LONG} {LONG}", "location": LONG, "address": LONG},
        was={"location": f"{LONG} {LONG}", "weekday": "Sunday"},
        is_elsewhere=True,
        is_at_other_times=True,
        first_name=LONG,
        children=[f"{LONG} {LONG} {number}" for number in range(10)],
        gone=GONE * 50,
        dates=DATES * 50,
        reason=f"{LONG} " * 4,
    ),
    "hostile": _move(
        HOSTILE_CLASS,
        was={"location": HOSTILE, "address": HOSTILE},
        is_elsewhere=True,
        first_name=HOSTILE,
        children=[HOSTILE],
        reason=HOSTILE,
    ),
}

EMAIL = Email(
    kind="class_moved",
    title=_("Class moved"),
    when="staff confirm another place, time or date of a class in which the family has a seat",
    topic="places",
    trigger=Trigger(CourseChange, facts=moved_families),
    of_order=of_order,
    recipients=its_recipients,
    family=attrgetter("household_id"),
    snapshot=snapshot,
    key=lambda fact: f"change:{fact.change.pk}:{fact.household_id}",
    accent="orange",
    is_copy_harmless=True,
    expires=expires,
    priority=2,
    still_true=still_have_a_seat,
    samples=SAMPLES,
)
