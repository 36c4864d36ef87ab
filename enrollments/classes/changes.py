"""Another place or other times for a class, and the fact that its families get an email about.

Families are notified about the location and the times, not the title: correcting a word sends nothing.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.dispatch import Signal

from csf.dates import local_date
from csf.staff.fingerprint import fingerprint_of
from csf.templatetags.csf_format import day, time_of_day
from enrollments.classes.dates import DateChoice, fit_sessions
from enrollments.classes.endings import reopen_places
from enrollments.locks import lock_course
from enrollments.models import Course, CourseChange, CourseSession, Enrollment, User
from enrollments.models.seats import HAS_SEAT, EnrollmentQuerySet

Plan = dict[str, Any]
NOTHING_CHOSEN = DateChoice()
places_reopened = Signal()  # sent within the transaction, for the orders of these places


@dataclass(frozen=True)
class ScheduleChange:
    """A class as its families knew it, and as it would be."""

    before: Plan
    after: Plan
    household_ids: frozenset[int]
    """Families with a place. Families on the waitlist see the new times when they are offered one."""

    @property
    def families(self) -> int:
        return len(self.household_ids)

    @property
    def fingerprint(self) -> str:
        """Identifies what a person looked at before confirming it."""
        return fingerprint_of(self.before, self.after, self.families)

    @property
    def differences(self) -> list[tuple[str, str, str]]:
        return differences(self.before, self.after)


class NotConfirmed(Exception):
    """Families would get an email, so staff have to confirm the change and give a reason first."""

    def __init__(self, course: Course, change: ScheduleChange) -> None:
        super().__init__(f"{change.families} families would get an email")
        self.course, self.change = course, change


@transaction.atomic
def change_course(
    *,
    course: Course,
    edit: Callable[[], None],
    by: User,
    reason: str,
    fingerprint: str,
    now: datetime.datetime,
    choice: DateChoice = NOTHING_CHOSEN,
) -> CourseChange | None:
    """Edit a class; if that changes place or times for families with a seat, write the fact that they get an
    email about.

    `edit` saves the class and its sessions. `fingerprint` is that of the change that a person confirmed,
    `choice` the sessions that a new first or last day needs. A class that had ended and is extended gets its
    completed places back. Raises DatesNotChosen, NotConfirmed and NoSeat, which undo the edit.
    """
    was, on = lock_course(course.pk), local_date(now)
    before, had_ended = plan_of(was, now=now), was.has_ended(on)
    edit()
    edited = Course.objects.get(pk=course.pk)
    _take_sessions_along(was, edited, now=now)
    fit_sessions(was, edited, choice=choice, now=now)
    if had_ended and not edited.has_ended(on):
        places = reopen_places(edited, by=by, reason=f"the class continues until {day(edited.ends_on)}")
        places_reopened.send(CourseChange, places=places, by=by, reason="its class was extended")
    change = ScheduleChange(before, plan_of(edited, now=now), _locked_families(edited))
    if not _is_news(change, edited, on=on):
        return None
    if not reason.strip() or fingerprint != change.fingerprint:
        raise NotConfirmed(edited, change)
    return CourseChange.objects.create(
        course=edited, before=change.before, after=change.after, by=by, reason=" ".join(reason.split())[:300]
    )


def plan_of(course: Course, *, now: datetime.datetime) -> Plan:
    """What families know of place and times, as JSON values. Sessions that are over are no news."""
    place, meetings = course.location, list(course.sessions.filter(cancelled_at=None))
    to_come = [row for row in meetings if row.starts_at > now]
    first_on = meetings[0].held_on if meetings and len(to_come) == len(meetings) else course.starts_on
    return {
        "location": place.name,
        "address": place.address,
        "weekday": course.get_weekday_display(),
        "start_time": course.start_time.isoformat(),
        "end_time": course.end_time.isoformat(),
        "first_on": first_on.isoformat(),
        "last_on": (meetings[-1].held_on if meetings else course.ends_on).isoformat(),
        "sessions": [
            {
                "on": row.held_on.isoformat(),
                "from": row.start_time.isoformat(),
                "to": row.end_time.isoformat(),
            }
            for row in to_come
        ],
    }


def seats_of(course: Course) -> EnrollmentQuerySet:
    return Enrollment.objects.filter(course=course, status__in=HAS_SEAT)


def _locked_families(course: Course) -> frozenset[int]:
    """The places with a seat now. They are locked, so that one that is just being paid for is enrolled before
    or after."""
    seats = seats_of(course).select_related("child").select_for_update(no_key=True, of=("self",))
    return frozenset(seat.child.household_id for seat in seats.order_by("pk"))


def _is_news(change: ScheduleChange, course: Course, *, on: datetime.date) -> bool:
    if change.before == change.after or not change.families or course.cancelled_at:
        return False
    to_come = change.before["sessions"] or change.after["sessions"]
    return bool(to_come) or max(change.before["last_on"], change.after["last_on"]) >= on.isoformat()


def _take_sessions_along(was: Course, course: Course, *, now: datetime.datetime) -> None:
    """Sessions to come that meet at the old time of the week move to the new one, in the same week or, if
    that is too early, in the next. Those that staff have moved by hand stay. The class lasts as long."""
    old, new = _slot(was), _slot(course)
    if old == new:
        return
    sessions = list(course.sessions.all())
    to_come = [row for row in sessions if row.starts_at > now and row.cancelled_at is None]
    regular = [row for row in to_come if (row.held_on.weekday(), row.start_time, row.end_time) == old]
    taken = {(row.held_on, row.start_time) for row in sessions if row not in regular}
    days = timedelta(days=course.weekday - was.weekday)
    earliest = max(course.starts_on, local_date(now) + timedelta(days=1))
    if days and regular and regular[0].held_on + days < earliest:
        days += timedelta(weeks=1)
    for row in regular:
        row.held_on, row.start_time, row.end_time = row.held_on + days, course.start_time, course.end_time
    moved = [row for row in regular if (row.held_on, row.start_time) not in taken]
    CourseSession.objects.bulk_update(moved, ["held_on", "start_time", "end_time"])
    if moved and moved[-1].held_on > course.ends_on:
        course.ends_on = moved[-1].held_on
        course.save(update_fields=["ends_on"])


def _slot(course: Course) -> tuple[int, datetime.time, datetime.time]:
    return course.weekday, course.start_time, course.end_time


def differences(before: Plan, after: Plan) -> list[tuple[str, str, str]]:
    """What differs, before and after: for staff, in words, one line for each session."""
    old, new = _in_words(before), _in_words(after)
    rows = [(title, old[title], new[title]) for title in new if old[title] != new[title]]
    off, on = only_in(before, after), only_in(after, before)
    if off or on:
        rows.append(("Sessions", _sessions_in_words(off), _sessions_in_words(on)))
    return rows


def only_in(plan: Plan, other: Plan) -> list[dict[str, str]]:
    """The future sessions that `other` does not have."""
    return [session for session in plan["sessions"] if session not in other["sessions"]]


def _in_words(plan: Plan) -> dict[str, str]:
    return {
        "Place": ", ".join(filter(None, [plan["location"], plan["address"]])),
        "Time": f"{plan['weekday']}s, {time_of_day(plan['start_time'])} to {time_of_day(plan['end_time'])}",
        "First day": day(plan["first_on"]),
        "Last day": day(plan["last_on"]),
    }


def _sessions_in_words(sessions: list[dict[str, str]]) -> str:
    words = [f"{day(row['on'])}, {time_of_day(row['from'])} to {time_of_day(row['to'])}" for row in sessions]
    return "\n".join(words) or "none"
