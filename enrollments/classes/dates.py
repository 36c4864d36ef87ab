"""Changing the first or last day of a class, and the sessions that are missing or outside the new days.

A class ends with its last session. A later last day alone would promise dates that do not exist, so staff
choose them; an earlier one would leave sessions that nobody attends, so staff delete them.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from csf.dates import local_date
from enrollments.models import Course, CourseSession


@dataclass(frozen=True)
class DateChoice:
    """What a person answered: the dates to add, and the sessions (by key) to delete."""

    add: Sequence[datetime.date] = ()
    delete: frozenset[int] = frozenset()


@dataclass(frozen=True)
class DateQuestion:
    """What the new first and last day of a class leave undecided."""

    missing: list[datetime.date]
    """Weekly dates that no session has, in the weeks that the class gained."""
    outside: list[CourseSession]
    """Sessions to come before the first or after the last day."""

    def is_answered_by(self, choice: DateChoice) -> bool:
        added = set(choice.add)
        is_added = bool(added) and added <= set(self.missing) if self.missing else True
        return is_added and {session.pk for session in self.outside} <= choice.delete


class DatesNotChosen(Exception):
    """A person has to choose the sessions first."""

    def __init__(self, course: Course, question: DateQuestion) -> None:
        super().__init__("the sessions do not fit the first and last day")
        self.course, self.question = course, question


def first_day_refusal(first_on: datetime.date, weekday: int) -> str:
    """Why a class cannot begin on that day, for staff; empty if it meets on that day of the week."""
    if first_on.weekday() == weekday:
        return ""
    its_own, of_class = Course.Weekday(first_on.weekday()).label, Course.Weekday(weekday).label
    return f"{first_on:%B} {first_on.day} is a {its_own}, but the class meets on {of_class}s."


def fit_sessions(was: Course, course: Course, *, choice: DateChoice, now: datetime.datetime) -> None:
    """Add and delete the sessions that a person chose. Raises DatesNotChosen."""
    question = question_of(was, course, now=now)
    if not question.is_answered_by(choice):
        raise DatesNotChosen(course, question)
    course.add_sessions(day for day in question.missing if day in choice.add)
    course.sessions.filter(pk__in=[session.pk for session in question.outside]).delete()


def question_of(was: Course, course: Course, *, now: datetime.datetime) -> DateQuestion:
    if (was.starts_on, was.ends_on) == (course.starts_on, course.ends_on):
        return DateQuestion([], [])
    sessions = list(course.sessions.all())
    known = {session.held_on for session in sessions}
    # Staff who entered sessions in the new weeks have already chosen.
    is_longer = not any(day > was.ends_on for day in known)
    is_earlier = not any(day < was.starts_on for day in known)
    gained = [
        day
        for day in course.weekly_dates()
        if (is_longer and day > was.ends_on) or (is_earlier and day < was.starts_on)
    ]
    return DateQuestion(
        missing=[day for day in gained if day > local_date(now) and day not in known],
        outside=[
            session
            for session in sessions
            if session.starts_at > now
            and session.cancelled_at is None
            and not course.starts_on <= session.held_on <= course.ends_on
        ],
    )
