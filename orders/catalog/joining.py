"""What a child who joins a class now would get, and at what price before discounts."""

import datetime
from dataclasses import dataclass

from csf.money import pro_rata_cents
from enrollments.models import Course


@dataclass(frozen=True)
class Joining:
    sessions_left: int
    sessions: int
    """All of the class, or 0 if none is planned."""
    first_on: datetime.date
    """The day of the first session that the child would take part in."""
    price_cents: int

    @property
    def is_late(self) -> bool:
        """The class has begun and is not over."""
        return 0 < self.sessions_left < self.sessions


def joining(course: Course, *, now: datetime.datetime) -> Joining:
    """For many classes prefetch `sessions`."""
    meetings = course.meetings()
    to_come = [session for session in meetings if session.starts_at > now]
    sold, of = course.sessions_sold(now)
    return Joining(
        sessions_left=len(to_come),
        sessions=len(meetings),
        first_on=to_come[0].held_on if to_come else course.first_on,
        price_cents=pro_rata_cents(course.price_cents, sold, of),
    )
