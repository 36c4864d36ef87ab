"""What the email about a class at another time or place says: one to each family, for all its children."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter

from django.db.models import Exists, OuterRef, Prefetch

from csf.dates import start_of_day
from enrollments.changes import only_in, seats_of
from enrollments.models import Course, CourseChange, Enrollment, EnrollmentStatus, User
from enrollments.models.seats import HAS_SEAT
from notifications.choices.readers import readers
from notifications.facts.calendar import PlaceState, calendar_facts, place_states
from notifications.facts.snapshots import Snapshot, course_facts
from notifications.spec import EmailSpec

SLOT = ("weekday", "start_time", "end_time")
IN_CALENDAR = {EnrollmentStatus.ACTIVE, EnrollmentStatus.LENDING}  # the others have no file yet


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
        """A place of the family: the email is of use while it has any in the class."""
        return self.places[0].pk

    @property
    def household_id(self) -> int:
        return self.places[0].child.household_id


def moved_families(change: CourseChange) -> list[MovedFamily]:
    """In the same few statements, however many they are."""
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


def moved_snapshot(fact: MovedFamily) -> Snapshot:
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


def _ends_at(fact: MovedFamily) -> datetime.datetime:
    """With the class, not with its next session: the later ones moved too."""
    dates = [fact.change.after["last_on"], *(session["on"] for session in fact.change.after["sessions"])]
    return start_of_day(datetime.date.fromisoformat(max(dates)) + timedelta(days=1))


def _still_have_a_seat(facts: Iterable[int]) -> set[int]:
    seats = Enrollment.objects.filter(
        child__household=OuterRef("child__household"), course=OuterRef("course"), status__in=HAS_SEAT
    )
    return set(Enrollment.objects.filter(Exists(seats), pk__in=facts).values_list("pk", flat=True))


CLASS_MOVED = EmailSpec(
    recipients=lambda fact: fact.recipients,
    family=attrgetter("household_id"),
    snapshot=moved_snapshot,
    key=lambda fact: f"change:{fact.change.pk}:{fact.household_id}",
    accent="orange",
    is_copy_harmless=True,
    expires=_ends_at,
    priority=2,
    still_true=_still_have_a_seat,
)
