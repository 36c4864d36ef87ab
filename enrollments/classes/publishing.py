"""A class begins as a draft. Publishing shows it to parents; taking it off the list hides it again."""

import datetime
from dataclasses import dataclass

from django.db import transaction

from csf.dates import local_date
from csf.money import money_text
from csf.refusal import NotPossible
from csf.templatetags.csf_format import day, moment
from enrollments.classes.dates import first_day_refusal
from enrollments.classes.waitlist import close_waitlist, fill
from enrollments.locks import lock_course
from enrollments.models import Course, User


@dataclass(frozen=True)
class Check:
    """One line of the list that staff see before they publish a class."""

    title: str
    finding: str
    is_met: bool
    is_required: bool = True


def checklist(course: Course, *, now: datetime.datetime) -> list[Check]:
    sessions = [row.held_on for row in course.sessions.filter(cancelled_at=None) if row.starts_at > now]
    dates = f"{len(sessions)}, from {day(sessions[0])} to {day(sessions[-1])}" if sessions else "none to come"
    window = f"{moment(course.registration_opens_at)} to {moment(course.registration_closes_at)}"
    seats = f"{course.capacity}, for children aged {course.age_min} to {course.age_max}"
    return [
        Check("Sessions", dates, bool(sessions)),
        _first_day(course),
        Check("Registration", window, course.registration_closes_at > now),
        Check("Places", seats, course.capacity > 0),
        Check("Price", money_text(course.price_cents) if course.price_cents else "free", True),
        Check("Location", f"{course.location}, {course.location.address}", True),
        Check("Takes place", "cancelled" if course.cancelled_at else "yes", not course.cancelled_at),
        _wish("Description", course.description),
        _wish("What to bring", course.what_to_bring),
    ]


def _first_day(course: Course) -> Check:
    """A session that staff have put on the first day stays, whatever day of the week that is."""
    refusal = first_day_refusal(course.starts_on, course.weekday)
    is_met = not refusal or course.sessions.filter(held_on=course.starts_on).exists()
    return Check("First day", day(course.first_on) if is_met else refusal.rstrip("."), is_met)


def _wish(title: str, text: str) -> Check:
    return Check(title, text or "empty", bool(text), is_required=False)


@transaction.atomic
def publish(*, course: Course, by: User, now: datetime.datetime) -> None:
    """Show the class to parents. Raises NotPossible; a published class stays as it is."""
    locked = lock_course(course.pk)
    if locked.archived_at:
        raise NotPossible("Not published. It is archived; restore it first.")
    missing = [check for check in checklist(locked, now=now) if check.is_required and not check.is_met]
    if missing:
        lacks = "; ".join(f"{check.title}: {check.finding}" for check in missing)
        raise NotPossible(f"Not published. {lacks}.")
    Course.objects.filter(pk=locked.pk).update(is_published=True)
    fill(locked, now=now, by=by)


@transaction.atomic
def archive_course(*, course: Course, by: User, now: datetime.datetime) -> None:
    """Hide a class from parents and from the lists of staff. Raises NotPossible while children are in it."""
    locked = lock_course(course.pk)
    if locked.enrollments.occupying().exists() and not locked.has_ended(local_date(now)):
        raise NotPossible("children are enrolled. Cancel the class first.")
    unpublish(course=locked, by=by)
    Course.objects.filter(pk=locked.pk).update(archived_at=now)


@transaction.atomic
def unpublish(*, course: Course, by: User) -> None:
    """Hide the class from parents; those on its waitlist leave it. Enrolled children keep their places."""
    locked = lock_course(course.pk)
    Course.objects.filter(pk=locked.pk).update(is_published=False)
    locked.refresh_from_db()
    close_waitlist(locked, by=by, reason="the class was taken off the list")
