import datetime
import uuid
from collections.abc import Iterable
from typing import Self

from django.db import models
from django.db.models import Case, Count, OuterRef, Q, Subquery, When
from django.db.models.functions import Coalesce

from csf.clock import Now
from csf.state import Stale, StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models.courses import Course
from enrollments.models.people import Child, User


@colours(success="active", info="offered held", warning="waitlisted", danger="declined")
class EnrollmentStatus(models.TextChoices):
    WAITLISTED = "waitlisted", "on the waitlist"
    OFFERED = "offered", "place offered"
    HELD = "held", "held"
    ACTIVE = "active", "enrolled"
    ON_OFFER = "on_offer", "enrolled, place on offer"
    RELEASED = "released", "released"
    LAPSED = "lapsed", "offer expired"
    DECLINED = "declined", "left the waitlist"
    CANCELLED = "cancelled", "cancelled"
    TRANSFERRED = "transferred", "moved to another class"
    COMPLETED = "completed", "completed"


# Lists, not sets: they stand in constraints, and a migration must not see them in another order each time.
ENROLLED = [EnrollmentStatus.HELD, EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER]
WAITING = [EnrollmentStatus.WAITLISTED, EnrollmentStatus.OFFERED]
HOLDING = [EnrollmentStatus.OFFERED, EnrollmentStatus.HELD]  # until `expires_at`
OCCUPYING = [EnrollmentStatus.OFFERED, EnrollmentStatus.HELD, EnrollmentStatus.ACTIVE]
# A family that offers its seat keeps it until someone else pays.
HAS_SEAT = [*OCCUPYING, EnrollmentStatus.ON_OFFER]
LIVE = [*WAITING, *ENROLLED]


class WaitlistTier(models.TextChoices):
    """Priority goes first and is charged at once from a saved card; regular has some hours to accept."""

    PRIORITY = "priority", "priority: the saved card is charged at once"
    REGULAR = "regular", "regular: asked by email"


class EnrollmentQuerySet(models.QuerySet["Enrollment"]):
    def occupying(self) -> Self:
        return self.filter(status__in=OCCUPYING)

    def live(self) -> Self:
        """What a child can have only once in a class: a place, or a place on the waitlist."""
        return self.filter(status__in=LIVE)

    def blocking(self) -> Self:
        """What keeps a child from buying a place in the class. A child whose waitlist has ended may buy
        one."""
        return self.live().exclude(status=EnrollmentStatus.WAITLISTED, offers_ended_at__isnull=False)

    def enrolled(self) -> Self:
        """With a place that is paid for or being paid for."""
        return self.filter(status__in=ENROLLED)

    def waitlisted(self) -> Self:
        """Places waiting for a seat, in the order in which they are served."""
        waiting = self.filter(status=EnrollmentStatus.WAITLISTED)
        return waiting.order_by(Case(When(tier=WaitlistTier.PRIORITY, then=0), default=1), "joined_at", "pk")

    def with_position(self) -> Self:
        """Adds `position`: 1 for the next in line. Only useful for places on the waitlist."""
        others = Enrollment.objects.filter(status=EnrollmentStatus.WAITLISTED, course=OuterRef("course"))
        sooner = Q(joined_at__lt=OuterRef("joined_at")) | Q(
            joined_at=OuterRef("joined_at"), pk__lt=OuterRef("pk")
        )
        # In the alphabet, too, priority comes before regular.
        ahead = others.filter(Q(tier__lt=OuterRef("tier")) | Q(sooner, tier=OuterRef("tier")))
        counted = ahead.order_by().values("course").annotate(rows=Count("pk")).values("rows")
        return self.annotate(position=Coalesce(Subquery(counted), 0) + 1)


class Enrollment(StatefulModel):
    """A child's place in a class. A place that occupies a seat has its number, and the database keeps numbers
    unique."""

    EDGES = edges(
        {
            EnrollmentStatus.WAITLISTED: {
                EnrollmentStatus.WAITLISTED,  # has joined, changed the tier, or is offered nothing any more
                EnrollmentStatus.OFFERED,
                EnrollmentStatus.DECLINED,
            },
            EnrollmentStatus.OFFERED: {
                EnrollmentStatus.OFFERED,  # priority that cannot be charged is asked like regular
                EnrollmentStatus.HELD,
                EnrollmentStatus.LAPSED,
                EnrollmentStatus.DECLINED,
            },
            EnrollmentStatus.HELD: {EnrollmentStatus.ACTIVE, EnrollmentStatus.RELEASED},
            EnrollmentStatus.RELEASED: {EnrollmentStatus.ACTIVE},  # money that came late, if a seat is free
            EnrollmentStatus.ACTIVE: {
                EnrollmentStatus.ACTIVE,  # has offered the place to the waitlist, or keeps it after all
                EnrollmentStatus.ON_OFFER,
                EnrollmentStatus.CANCELLED,
                EnrollmentStatus.TRANSFERRED,
                EnrollmentStatus.COMPLETED,
            },
            # Its seat is offered to someone on the waitlist, who takes it or returns it.
            EnrollmentStatus.ON_OFFER: {EnrollmentStatus.ACTIVE, EnrollmentStatus.CANCELLED},
            EnrollmentStatus.COMPLETED: {EnrollmentStatus.ACTIVE},  # its class is extended
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    child = models.ForeignKey(Child, on_delete=models.PROTECT, related_name="enrollments")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="enrollments")
    status = models.CharField(max_length=20, choices=EnrollmentStatus.choices, editable=False)
    seat_number = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the hold or the offer ends."
    )
    tier = models.CharField(
        max_length=20,
        choices=WaitlistTier.choices,
        blank=True,
        editable=False,
        help_text="For places that came from the waitlist.",
    )
    joined_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="On the waitlist since then."
    )
    priority_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="In the priority tier since then."
    )
    offers_ended_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since then the waitlist is not offered places, because the class has started.",
    )
    offered_to_waitlist_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Offered to the waitlist since then.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = EnrollmentQuerySet.as_manager()
    position: int  # by EnrollmentQuerySet.with_position

    class Meta:
        verbose_name = "place"
        verbose_name_plural = "places"
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
                condition=Q(status__in=HOLDING, expires_at__isnull=False)
                | (~Q(status__in=HOLDING) & Q(expires_at=None)),
                name="enrollments_enrollment_hold_ends",
            ),
            models.CheckConstraint(
                condition=Q(tier="", joined_at=None) & ~Q(status__in=WAITING)
                | Q(tier__in=WaitlistTier.values, joined_at__isnull=False),
                name="enrollments_enrollment_place_on_the_waitlist",
            ),
            models.CheckConstraint(
                condition=Q(offers_ended_at=None) | Q(joined_at__isnull=False),
                name="enrollments_enrollment_offers_ended",
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
        indexes = [
            # Each minute the sweep asks in which classes someone waits, is asked, or offers a seat.
            models.Index(
                fields=["course"],
                condition=Q(status__in=[*WAITING, EnrollmentStatus.ON_OFFER]),
                name="enrollments_enrollment_in_line",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.child} in {self.course}"

    def can_be_given_up(self, on: datetime.date) -> bool:
        """Whether the family may cancel it: it is paid for, and the class is not over. Needs the course."""
        return self.status == EnrollmentStatus.ACTIVE and not self.course.has_ended(on)

    def is_over(self, now: datetime.datetime) -> bool:
        """Whether its hold or offer has come to its end."""
        return self.expires_at is not None and self.expires_at <= now

    def activate(self, *, reason: str, seat_number: int | None = None) -> None:
        """The place is paid for. A released one needs the seat number it gets back. Raises Stale."""
        transition(
            self,
            EnrollmentStatus.ACTIVE,
            reason=reason,
            seat_number=seat_number or self.seat_number,
            expires_at=None,
        )

    def cancel(self, *, by: User | None, reason: str) -> None:
        """Give up an active place for good. Raises Stale."""
        transition(self, EnrollmentStatus.CANCELLED, by=by, reason=reason, seat_number=None)

    def reopen(self, *, seat_number: int, by: User, reason: str) -> None:
        """The class of a completed place is extended; it takes a seat again. Raises Stale."""
        transition(self, EnrollmentStatus.ACTIVE, by=by, reason=reason, seat_number=seat_number)

    def offer_to_waitlist(self, *, at: datetime.datetime, by: User) -> None:
        """Let someone on the waitlist take the place over. Raises Stale unless it is active."""
        reason = "offered to the waitlist"
        transition(self, EnrollmentStatus.ACTIVE, by=by, reason=reason, offered_to_waitlist_at=at)

    def keep(self, *, by: User) -> None:
        """Stop offering it to the waitlist. Raises Stale, also while someone is deciding about it."""
        if self.status != EnrollmentStatus.ACTIVE:
            raise Stale("a family on the waitlist is deciding whether to take it")
        reason = "no longer offered to the waitlist"
        transition(self, EnrollmentStatus.ACTIVE, by=by, reason=reason, offered_to_waitlist_at=None)

    def hand_over_seat(self) -> int:
        """Pass the seat to an offer for someone on the waitlist, and return its number. Raises Stale."""
        number = self.seat_number
        assert number
        transition(
            self, EnrollmentStatus.ON_OFFER, reason="its place is offered to the waitlist", seat_number=None
        )
        return number

    def take_seat_back(self, seat_number: int) -> None:
        """Nobody on the waitlist took the seat. Raises Stale."""
        reason = "nobody took the place"
        transition(self, EnrollmentStatus.ACTIVE, reason=reason, seat_number=seat_number)

    def leave_for(self, other: "Enrollment", *, by: User, reason: str) -> None:
        """The child has the place `other` in another class now. Raises Stale unless this one is active."""
        assert other.status == EnrollmentStatus.ACTIVE
        transition(self, EnrollmentStatus.TRANSFERRED, by=by, reason=reason, seat_number=None)

    def offer(self, *, seat_number: int, until: datetime.datetime, by: User | None, reason: str) -> None:
        """The first in line gets a seat that nobody else can take until then. Raises Stale."""
        transition(
            self,
            EnrollmentStatus.OFFERED,
            by=by,
            reason=reason,
            seat_number=seat_number,
            expires_at=until,
            offers_ended_at=None,
        )

    def end_offers(self, *, at: datetime.datetime, reason: str) -> None:
        """The class has started, so a waiting place is no longer offered a seat. Raises Stale."""
        transition(self, EnrollmentStatus.WAITLISTED, reason=reason, offers_ended_at=at)

    def enter_line(self, tier: WaitlistTier, *, at: datetime.datetime, by: User | None, reason: str) -> None:
        """Wait in this tier from now on, at the position that `joined_at` determines. Raises Stale."""
        priority_at = at if tier == WaitlistTier.PRIORITY else None
        transition(
            self, EnrollmentStatus.WAITLISTED, by=by, reason=reason, tier=tier, priority_at=priority_at
        )

    def ask_instead(self, *, reason: str) -> None:
        """The card cannot be charged as agreed: the family is asked, as in the regular tier. Raises Stale."""
        transition(self, EnrollmentStatus.OFFERED, reason=reason, tier=WaitlistTier.REGULAR)

    def hold(self, *, until: datetime.datetime, by: User | None, reason: str) -> None:
        """The offer is accepted and its order placed; the seat stays the same. Raises Stale."""
        transition(self, EnrollmentStatus.HELD, by=by, reason=reason, expires_at=until)

    def lapse(self, *, reason: str) -> None:
        """Nobody answered the offer in time. Raises Stale."""
        transition(self, EnrollmentStatus.LAPSED, reason=reason, seat_number=None, expires_at=None)

    def decline(self, *, by: User | None, reason: str) -> None:
        """Leave the waitlist, with or without an offer. Raises Stale."""
        transition(self, EnrollmentStatus.DECLINED, by=by, reason=reason, seat_number=None, expires_at=None)

    def release(self, *, by: User | None = None, reason: str) -> None:
        """Free a held seat. Raises Stale unless it is held."""
        transition(self, EnrollmentStatus.RELEASED, by=by, reason=reason, seat_number=None, expires_at=None)


class EnrollmentTransition(TransitionRow):
    enrollment = models.ForeignKey(Enrollment, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


def free_seat_numbers(course: Course) -> list[int]:
    """The free numbers, lowest first. Only true under the course's row lock."""
    return _free_numbers(course, course.enrollments.occupying().values_list("seat_number", flat=True))


def seat_numbers_for_sale(course: Course) -> list[int]:
    """The free numbers that are not for the waitlist, and that are not due back to a family that offered one.

    Only true under the course's row lock.
    """
    in_line = Q(status=EnrollmentStatus.WAITLISTED, offers_ended_at=None)
    places = course.enrollments.filter(in_line | Q(status__in=HAS_SEAT))
    numbers = list(places.values_list("seat_number", flat=True))
    spoken_for = numbers.count(None)  # places on the waitlist, and places on offer, have no number
    return _free_numbers(course, numbers)[spoken_for:]


def _free_numbers(course: Course, taken: Iterable[int | None]) -> list[int]:
    found = set(taken)
    return [number for number in range(1, course.capacity + 1) if number not in found]
