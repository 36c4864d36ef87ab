import datetime
import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from csf.state import StatefulModel, TransitionRow, edges, transition
from enrollments.models.courses import Course
from enrollments.models.people import Child, User


class EnrollmentStatus(models.TextChoices):
    HELD = "held", "held"
    ACTIVE = "active", "enrolled"
    RELEASED = "released", "released"
    CANCELLED = "cancelled", "cancelled"
    COMPLETED = "completed", "completed"


# Lists, not sets: they stand in constraints, and a migration must not see them in another order each time.
OCCUPYING = [EnrollmentStatus.HELD, EnrollmentStatus.ACTIVE]
LIVE = [EnrollmentStatus.HELD, EnrollmentStatus.ACTIVE]


class EnrollmentQuerySet(models.QuerySet["Enrollment"]):
    def occupying(self) -> Self:
        return self.filter(status__in=OCCUPYING)

    def live(self) -> Self:
        return self.filter(status__in=LIVE)


class Enrollment(StatefulModel):
    """A child's place in a class. Who occupies a seat has its number, and the database keeps numbers
    unique."""

    EDGES = edges(
        {
            EnrollmentStatus.HELD: {EnrollmentStatus.ACTIVE, EnrollmentStatus.RELEASED},
            EnrollmentStatus.RELEASED: {EnrollmentStatus.ACTIVE},  # money that came late, if a seat is free
            EnrollmentStatus.ACTIVE: {EnrollmentStatus.CANCELLED, EnrollmentStatus.COMPLETED},
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    child = models.ForeignKey(Child, on_delete=models.PROTECT, related_name="enrollments")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="enrollments")
    status = models.CharField(max_length=20, choices=EnrollmentStatus.choices, editable=False)
    seat_number = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="End of the hold.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = EnrollmentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=EnrollmentStatus.values), name="enrollments_enrollment_status"
            ),
            models.CheckConstraint(
                condition=Q(status__in=OCCUPYING, seat_number__isnull=False, seat_number__gte=1)
                | (~Q(status__in=OCCUPYING) & Q(seat_number=None)),
                name="enrollments_enrollment_seat_exactly_when_occupying",
            ),
            models.CheckConstraint(
                condition=Q(status=EnrollmentStatus.HELD, expires_at__isnull=False)
                | (~Q(status=EnrollmentStatus.HELD) & Q(expires_at=None)),
                name="enrollments_enrollment_hold_ends",
            ),
            models.UniqueConstraint(
                fields=["course", "seat_number"],
                condition=Q(seat_number__isnull=False),
                name="enrollments_enrollment_seat_sold_once",
            ),
            models.UniqueConstraint(
                fields=["child", "course"],
                condition=Q(status__in=LIVE),
                name="enrollments_enrollment_child_once_in_course",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.child} in {self.course}"

    def can_be_given_up(self, on: datetime.date) -> bool:
        """Whether the family may cancel it: it is paid for, and the class is not over. Needs the course."""
        return self.status == EnrollmentStatus.ACTIVE and on <= self.course.ends_on

    def activate(self, *, reason: str, seat_number: int | None = None) -> None:
        """The place is paid for. A released one needs the seat number it gets back. Raises Stale."""
        transition(
            self,
            EnrollmentStatus.ACTIVE,
            reason=reason,
            seat_number=seat_number or self.seat_number,
            expires_at=None,
        )

    def cancel(self, *, by: User, reason: str) -> None:
        """Give up an active place for good. Raises Stale."""
        transition(self, EnrollmentStatus.CANCELLED, by=by, reason=reason, seat_number=None)

    def release(self, *, by: User | None = None, reason: str) -> None:
        """Give a held seat back. Raises Stale unless it is held."""
        transition(self, EnrollmentStatus.RELEASED, by=by, reason=reason, seat_number=None, expires_at=None)


class EnrollmentTransition(TransitionRow):
    enrollment = models.ForeignKey(Enrollment, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


def free_seat_numbers(course: Course) -> list[int]:
    """The free numbers, lowest first. Only true under the course's row lock."""
    taken = set(course.enrollments.occupying().values_list("seat_number", flat=True))
    return [number for number in range(1, course.capacity + 1) if number not in taken]
