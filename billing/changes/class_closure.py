"""A whole class, or one of its sessions, that the school cancels: previewed once, then processed family by
family. Each family is handled once, no matter how often the work is interrupted and resumed."""

import datetime
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from billing.changes.cancellation import OutcomeChanged, cancel_enrollment, value_left_cents
from billing.ledger.credits import grant
from billing.ledger.reductions import kept_cents, plan_reduction
from billing.models import (
    Cancellation,
    CancellationStatus,
    Closure,
    ClosureLine,
    ClosureLineStatus,
    ClosureStatus,
    CreditCause,
    Dispute,
    Installment,
    InstallmentStatus,
    Terms,
)
from billing.task_kinds import MoneyTask
from csf import clock
from csf.clock import Now
from csf.database.advisory_locks import free_slot
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.happened import happened
from csf.jobs.for_each import for_each
from csf.jobs.queue import enqueue
from csf.models import Instance, StaffTask
from csf.money import money_text, pro_rata_cents
from csf.refusal import NotPossible
from csf.staff.fingerprint import fingerprint_of
from csf.state import Stale, move_rows
from enrollments.classes.waitlist import close_waitlist
from enrollments.locks import lock_course, lock_household_of
from enrollments.models import Course, CourseSession, Enrollment, EnrollmentStatus, User
from enrollments.models.seats import WAITING

logger = logging.getLogger(__name__)

MOST_TRIES = 5
LOCK_CLASS = 20_274  # of its slot


# --- What it would bring ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effect:
    """What the cancellation means for one family."""

    enrollment: Enrollment
    stopped_cents: int = 0
    refund_cents: int = 0
    credit_cents: int = 0
    is_charging: bool = False
    """A payment of the order is in progress, so the figures may still change."""

    @property
    def figures(self) -> tuple[int, int, int]:
        return self.stopped_cents, self.refund_cents, self.credit_cents


@dataclass(frozen=True)
class Preview:
    """What the cancellation would mean, as things stand."""

    effects: list[Effect]
    waiting: list[Enrollment]
    """Their wait for a place ends."""
    held: list[Enrollment]
    """Being paid right now: if the money arrives, it is refunded in full."""

    @property
    def totals(self) -> tuple[int, int, int]:
        """Cents no longer charged, refunded, and given as credit."""
        stopped, refund, credit = (sum(cents) for cents in zip((0, 0, 0), *self._figures(), strict=True))
        return stopped, refund, credit

    @property
    def fingerprint(self) -> str:
        """Identifies the families and sums that a person looked at before pressing the button."""
        return fingerprint_of(*((effect.enrollment.pk, *effect.figures) for effect in self.effects))

    def _figures(self) -> Iterator[tuple[int, int, int]]:
        return (effect.figures for effect in self.effects)


def preview_class(*, course: Course, terms: Terms, now: datetime.datetime) -> Preview:
    """What each family would get if the class were cancelled; changes nothing."""
    related = course.enrollments.select_related("child__household").order_by("pk")
    places = _places(course)
    charging = Installment.objects.filter(status=InstallmentStatus.CHARGING)
    waits_for = set(charging.filter(order__items__enrollment__in=places).values_list("order", flat=True))
    return Preview(
        effects=[_effect(place, terms, waits_for, now=now) for place in places],
        waiting=list(related.filter(status__in=WAITING)),
        held=list(related.filter(status=EnrollmentStatus.HELD)),
    )


def _effect(place: Enrollment, terms: Terms, waits_for: set[int], *, now: datetime.datetime) -> Effect:
    """As `cancel.outcome_of`, without what only the page of one place shows."""
    item = place.order_item
    value_cents = value_left_cents(item, terms, now=now)
    found = plan_reduction(item.order, value_cents, as_credit=terms.gives_credit)
    return Effect(
        place,
        found.stopped_cents,
        found.refund_cents,
        found.credit_cents,
        is_charging=item.order_id in waits_for,
    )


def preview_session(*, session: CourseSession) -> Preview:
    """The share of the price that each family would get as credit; changes nothing."""
    sessions = list(session.course.sessions.all())
    effects = [
        Effect(place, credit_cents=_share_cents(place, session, sessions))
        for place in _places(session.course)
    ]
    return Preview(effects, waiting=[], held=[])


def _share_cents(place: Enrollment, session: CourseSession, sessions: list[CourseSession]) -> int:
    """One session's share of what the family pays for the sessions that it bought."""
    item = place.order_item
    since = item.bought_at
    assert since
    bought = [
        row
        for row in sessions
        if row.starts_at > since and (row.cancelled_at is None or row.cancelled_at > since)
    ]
    if session not in bought:
        return 0
    return pro_rata_cents(item.net_cents or 0, 1, len(bought))


def _places(course: Course) -> QuerySet[Enrollment]:
    places = course.enrollments.filter(status=EnrollmentStatus.ACTIVE)
    related = places.select_related("child__household", "order_item__order", "order_item__course")
    return related.order_by("pk")


# --- The decision -------------------------------------------------------------------------------------------


def close_class(
    *, course: Course, terms: Terms, by: User, reason: str, now: datetime.datetime, fingerprint: str
) -> Closure:
    """Decide that a class is cancelled; a worker processes its families.

    From now on nobody can register, and its waitlist is notified. `fingerprint` is that of the preview which
    was confirmed. Raises NotPossible; OutcomeChanged if the result would now differ.
    """
    preview = preview_class(course=course, terms=terms, now=now)
    return _close_class(
        course=course, terms=terms, by=by, reason=reason, now=now, fingerprint=fingerprint, preview=preview
    )


@again_after_deadlock
@transaction.atomic
def _close_class(
    *,
    course: Course,
    terms: Terms,
    by: User,
    reason: str,
    now: datetime.datetime,
    fingerprint: str,
    preview: Preview,
) -> Closure:
    course = _locked(course, reason)
    _check_fingerprint(preview, course, fingerprint)
    Course.objects.filter(pk=course.pk).update(cancelled_at=now)
    closure = Closure.objects.create(course=course, terms=terms, by=by, reason=_short(reason))
    close_waitlist(course, by=by, reason=f"{course} does not take place"[:300])
    return _begun(closure)


def close_session(
    *, session: CourseSession, by: User, reason: str, now: datetime.datetime, fingerprint: str
) -> Closure:
    """Decide that one session does not take place; each family gets its share as credit. Raises like
    `close_class`."""
    preview = preview_session(session=session)
    return _close_session(
        session=session, by=by, reason=reason, now=now, fingerprint=fingerprint, preview=preview
    )


@again_after_deadlock
@transaction.atomic
def _close_session(
    *,
    session: CourseSession,
    by: User,
    reason: str,
    now: datetime.datetime,
    fingerprint: str,
    preview: Preview,
) -> Closure:
    course = _locked(session.course, reason)
    if session.starts_at <= now:
        raise NotPossible("This session has already started or ended.")
    if not CourseSession.objects.filter(pk=session.pk, cancelled_at=None).update(cancelled_at=now):
        raise NotPossible("This session is already cancelled.")
    _check_fingerprint(preview, course, fingerprint)
    closure = Closure.objects.create(
        course=course, session=session, terms=Terms.CREDIT, by=by, reason=_short(reason)
    )
    return _begun(closure)


def _short(reason: str) -> str:
    return " ".join(reason.split())[:200]


def _locked(course: Course, reason: str) -> Course:
    if not reason.strip():
        raise NotPossible("Give a reason: the families will see it.")
    locked = lock_course(course.pk)
    if locked.cancelled_at:
        raise NotPossible("This class is already cancelled.")
    return locked


def _check_fingerprint(preview: Preview, course: Course, fingerprint: str) -> None:
    """The sums were looked up before the class was locked; under the lock the places must be the same."""
    places = [effect.enrollment.pk for effect in preview.effects]
    if preview.fingerprint != fingerprint or places != list(_places(course).values_list("pk", flat=True)):
        raise OutcomeChanged


def _begun(closure: Closure) -> Closure:
    _add_lines(closure, _places(closure.course))
    enqueue("billing.tasks.close_classes")
    return closure


def _add_lines(closure: Closure, places: QuerySet[Enrollment]) -> int:
    lines = [ClosureLine(closure=closure, enrollment=place) for place in places]
    ClosureLine.objects.bulk_create(lines, ignore_conflicts=True)
    return len(lines)


@transaction.atomic
def try_again(line: ClosureLine, *, by: User) -> None:
    """Staff return a family to the worker. Raises Stale unless it has failed."""
    line.try_again(by=by)
    move_rows(Closure.objects.filter(pk=line.closure_id), ClosureStatus.RUNNING, finished_at=None)
    StaffTask.objects.about(line).open().update(closed_at=Now(), closed_by=by)
    enqueue("billing.tasks.close_classes")


# --- The work -----------------------------------------------------------------------------------------------


def process_closures(*, now: datetime.datetime) -> bool:
    """Handle the waiting families, one after the other, in one worker at a time; True if the time was up
    before all were handled. One that fails waits for the next minute."""
    if Instance.why_quarantined():
        return False
    with free_slot(LOCK_CLASS, of=1) as slot:
        if slot is None:
            return False
        _add_late_places(on=local_date(now))
        is_done = _handle_waiting()
        running = Closure.objects.filter(status=ClosureStatus.RUNNING)
        finished = running.exclude(lines__status=ClosureLineStatus.WAITING)
        move_rows(finished, ClosureStatus.DONE, finished_at=Now())
    return not is_done


def _add_late_places(*, on: datetime.date) -> None:
    """A place that was held at the decision is enrolled by now, maybe after the last day of the class."""
    left = Enrollment.objects.filter(course=OuterRef("course"), status=EnrollmentStatus.ACTIVE)
    of_session = Q(session__isnull=False, course__ends_on__gte=on)
    of_class = Q(Exists(left), session=None)
    for closure in Closure.objects.filter(of_session | of_class).select_related("course"):
        late = _places(closure.course).exclude(closure_lines__closure=closure)
        if closure.session_id:  # families that registered later have not bought this session
            late = late.filter(created_at__lte=closure.created_at)
        if _add_lines(closure, late):
            move_rows(Closure.objects.filter(pk=closure.pk), ClosureStatus.RUNNING, finished_at=None)


def _handle_waiting() -> bool:
    """False if the time was up before the end."""
    waiting = ClosureLine.objects.filter(status=ClosureLineStatus.WAITING).order_by("tries", "pk")
    ids = list(waiting.values_list("pk", flat=True))
    tally = for_each(ids, _handle, doing="handling a line of a closure")
    return tally.done + tally.failed == len(ids)


def _handle(line_id: int) -> None:
    """One family. The try is counted before the work, so that a row that kills its worker parks itself."""
    ours = ClosureLine.objects.filter(pk=line_id, status=ClosureLineStatus.WAITING)
    if not ours.update(tries=F("tries") + 1):
        return
    line = ClosureLine.objects.select_related(
        "closure__course", "closure__session", "closure__by", "enrollment__order_item__order"
    ).get(pk=line_id)
    with happened(at=max(line.closure.created_at, line.enrollment.created_at)):
        if line.tries > MOST_TRIES:
            _finish(line, ClosureLineStatus.FAILED, f"failed {MOST_TRIES} times; the log says why")
        elif line.closure.session_id:
            _give_share(line)
        else:
            _cancel_place(line)


def _cancel_place(line: ClosureLine) -> None:
    """Cancelling is done once: a second time the place is no longer active."""
    closure = line.closure
    try:
        done: Cancellation | None = cancel_enrollment(
            enrollment=line.enrollment,
            by=closure.by,
            reason=f"{closure.course} does not take place: {closure.reason}",
            now=closure.created_at,
            terms=_terms(line),
            closure=closure,
        )
    except Stale:
        line.enrollment.refresh_from_db()
        done = Cancellation.objects.filter(enrollment=line.enrollment).first()
    if done and done.closure_id == closure.pk:
        _finish(line, ClosureLineStatus.DONE, result_of(done))
    else:
        _finish(line, ClosureLineStatus.DONE, f"was {line.enrollment.get_status_display()} before")


def _terms(line: ClosureLine) -> Terms:
    """A family that paid for a class after its cancellation gets everything back."""
    enrolled = line.enrollment.transitions.filter(from_status=EnrollmentStatus.HELD, to_status="active")
    is_late = enrolled.filter(created_at__gt=line.closure.created_at).exists()
    return Terms.REFUND if is_late else Terms(line.closure.terms)


def result_of(cancellation: Cancellation) -> str:
    """What happened to a family's money, in words."""
    if cancellation.status == CancellationStatus.WAITING:
        return cancellation.get_status_display()
    figures = [
        (cancellation.stopped_cents, "not charged"),
        (cancellation.refund_cents, "to be refunded"),
        (cancellation.credit_cents, "as credit"),
    ]
    return ", ".join(f"{money_text(cents)} {words}" for cents, words in figures if cents) or "no money"


@again_after_deadlock
@transaction.atomic
def _give_share(line: ClosureLine) -> None:
    """Credit for one session. It needs the family's lock, as cancelling a place does: either the cancellation
    counts this credit, or no credit is given here any more."""
    session = line.closure.session
    assert session
    place = line.enrollment
    lock_household_of(place.child_id)
    place.refresh_from_db(fields=["status"])
    if place.status != EnrollmentStatus.ACTIVE:
        _finish(line, ClosureLineStatus.DONE, f"was {place.get_status_display()} before")
        return
    cents = _share_cents(place, session, list(line.closure.course.sessions.all()))
    order = place.order_item.order
    if cents and Dispute.objects.undecided().filter(payment__order=order).exists():
        why_not = "the bank disputes its payment. Try again once it has decided."
        _finish(line, ClosureLineStatus.FAILED, f"{money_text(cents)} not given: {why_not}")
        return
    if cents and not kept_cents(order):  # a dispute was lost
        _finish(line, ClosureLineStatus.DONE, "no money: the bank has given it back")
        return
    if cents:
        grant(
            household=order.household,
            cents=cents,
            cause=CreditCause.SESSION,
            reason=str(line.closure)[:300],
            on=clock.today(),
            by=line.closure.by,
            order=order,
            closure_line=line,
        )
    _finish(line, ClosureLineStatus.DONE, f"{money_text(cents)} as credit" if cents else "no money")


def _finish(line: ClosureLine, to: ClosureLineStatus, result: str) -> None:
    with transaction.atomic():
        line.finish(to, by=line.closure.by, result=result)
        if to == ClosureLineStatus.FAILED:
            StaffTask.open(MoneyTask.CLOSURE_LINE, line, result)
