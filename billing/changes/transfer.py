"""Moving a child to another class: the new seat first, then the old one, then the difference in price.

The same discounts apply in the new class, in proportion. If a class has begun, only the sessions that are
left count. A class that costs less reduces the open installments, and the rest becomes credit; one that costs
more adds an installment, due today.
"""

import datetime
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext

from billing.changes.cancellation import value_left_cents
from billing.installments.attempts import ask_again
from billing.installments.dunning import start_attempt
from billing.installments.invoices import open_attempts, void
from billing.ledger.cards import card_that_pays
from billing.ledger.consent import record_move_consent
from billing.ledger.credits import give_for
from billing.ledger.reductions import Reduction, apply_reduction, plan_reduction
from billing.models import (
    Cancellation,
    Card,
    ChargeKind,
    CreditCause,
    Dispute,
    Installment,
    Terms,
    Transfer,
)
from billing.stripe import gateway
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.jobs.queue import enqueue
from csf.money import pro_rata_cents
from csf.refusal import NotPossible
from csf.staff.fingerprint import fingerprint_of
from csf.state import Stale
from enrollments.classes.waitlist import fill
from enrollments.locks import lock_courses, lock_household_of
from enrollments.models import Course, Enrollment, EnrollmentStatus, User
from enrollments.models.seats import seat_numbers_for_sale
from orders.locks import lock_order_of
from orders.models import Order, OrderItem


@dataclass(frozen=True)
class TransferQuote:
    """What a transfer would mean for the family's money."""

    item: OrderItem
    """The line of the old class."""
    course: Course
    list_cents: int
    """The new class, or what is left of it, before discounts."""
    price_cents: int
    """The same after the discounts of the old class, in proportion."""
    left_cents: int
    """What is left of the old class."""
    sessions_left: int
    sessions: int
    """Of the new class."""
    reduction: Reduction
    card: Card | None

    @property
    def difference_cents(self) -> int:
        return self.price_cents - self.left_cents

    @property
    def fingerprint(self) -> str:
        """The figures that a person looked at before pressing the button."""
        cut = [(cut.installment.pk, cut.left_cents) for cut in self.reduction.cuts]
        sums = (self.price_cents, self.left_cents, self.reduction.credit_cents)
        return fingerprint_of(self.course.pk, *sums, cut, self.card and self.card.pk)


def quote_transfer(*, enrollment: Enrollment, course: Course, now: datetime.datetime) -> TransferQuote:
    """What moving this child there would mean; changes nothing. Raises NotPossible."""
    item = OrderItem.objects.select_related("order", "child", "course", "enrollment").get(
        enrollment=enrollment
    )
    _check(item, course, now=now)
    left, of = course.sessions_left(now)
    if not left:
        raise NotPossible(f"No session of {course} is left.")
    list_cents = pro_rata_cents(course.price_cents, left, of)
    whole_cents = (item.list_cents or 0) - item.begun_cents  # what the discounts were taken off
    # A class that cost nothing says nothing about discounts.
    price_cents = pro_rata_cents(list_cents, item.net_cents or 0, whole_cents) if whole_cents else list_cents
    left_cents = value_left_cents(item, Terms.PRORATED, now=now)
    if 0 < price_cents - left_cents < settings.MINIMUM_CHARGE_CENTS:  # Stripe cannot charge so little
        price_cents = left_cents
    return TransferQuote(
        item=item,
        course=course,
        list_cents=list_cents,
        price_cents=price_cents,
        left_cents=left_cents,
        sessions_left=left,
        sessions=of,
        reduction=plan_reduction(item.order, max(left_cents - price_cents, 0), as_credit=True),
        card=card_that_pays(item.order, on=local_date(now)),
    )


def _check(item: OrderItem, course: Course, *, now: datetime.datetime) -> None:
    child = item.child
    if item.enrollment is None or item.enrollment.status != EnrollmentStatus.ACTIVE:
        raise NotPossible(f"{child.first_name} no longer has a place in {item.course}.")
    if course == item.course:
        raise NotPossible(f"{child.first_name} is already in {course}.")
    if course.cancelled_at or course.has_ended(local_date(now)):
        raise NotPossible(f"{course} has ended or was cancelled.")
    if not course.fits_age(child.age_on(course.starts_on)):
        ages = f"{course.age_min} to {course.age_max}"
        raise NotPossible(f"{course} is for ages {ages}; {child.first_name} does not fit.")
    if child.enrollments.live().filter(course=course).exists():
        raise NotPossible(f"{child.first_name} already has a place in {course} or is on its waitlist.")
    if not seat_numbers_for_sale(course):
        raise NotPossible(f"{course} is full.")


def transfer(
    *,
    enrollment: Enrollment,
    course: Course,
    by: User,
    reason: str,
    now: datetime.datetime,
    fingerprint: str | None = None,
    consent: str = "",
) -> Transfer:
    """Move a child. `fingerprint` is the `TransferQuote.fingerprint` of the page that was confirmed.

    With `consent`, the words in which the family agreed, a difference is charged to its saved card at once;
    without, the family pays it on its own. Raises NotPossible; then nothing has changed.
    """
    if not reason.strip():
        raise NotPossible("Give a reason: it stays in the history.")
    quote = quote_transfer(enrollment=enrollment, course=course, now=now)
    ask_again(quote.item.order)
    _check_money(quote, fingerprint)
    payable = [cut.installment for cut in quote.reduction.cuts if cut.installment.stripe_invoice_id]
    try:
        closed = {void(installment) for installment in payable}
        return _transfer(
            enrollment=enrollment,
            course=course,
            by=by,
            reason=reason.strip()[:300],
            now=now,
            fingerprint=fingerprint,
            consent=consent.strip(),
            closed=closed,
        )
    except (gateway.OutcomeUnknown, gateway.StripeRefused) as error:
        raise NotPossible("Stripe did not answer, so nothing was changed. Please try again.") from error
    except Stale as error:
        raise NotPossible("This order changed a moment ago. Please check it again.") from error


def _check_money(quote: TransferQuote, fingerprint: str | None) -> None:
    order = quote.item.order
    if fingerprint is not None and quote.fingerprint != fingerprint:
        raise NotPossible("Something has changed since you saw these figures. Please check the new ones.")
    if quote.reduction.credit_cents and Dispute.objects.undecided().filter(payment__order=order).exists():
        raise NotPossible(
            "The bank disputes a payment of this order, so no credit is given until it has decided."
        )
    if open_attempts(order).exists() or Cancellation.objects.waiting().filter(order=order).exists():
        raise NotPossible("A payment of this order is in progress. Please wait for it.")


@again_after_deadlock
@transaction.atomic
def _transfer(
    *,
    enrollment: Enrollment,
    course: Course,
    by: User,
    reason: str,
    now: datetime.datetime,
    fingerprint: str | None,
    consent: str,
    closed: set[str],
) -> Transfer:
    order = _lock(enrollment, course)
    enrollment.refresh_from_db()
    course.refresh_from_db()
    quote = quote_transfer(enrollment=enrollment, course=course, now=now)
    _check_money(quote, fingerprint)
    wanted = {cut.installment.stripe_invoice_id for cut in quote.reduction.cuts}
    if wanted - closed - {None}:
        raise NotPossible("The family has just opened the payment page. Please try again.")
    joined = _new_place(quote, order)
    enrollment.leave_for(joined, by=by, reason=reason)
    fill(enrollment.course, now=now)
    apply_reduction(order, quote.reduction, by=by, reason=reason)
    done = Transfer(
        order=order,
        left=enrollment,
        joined=joined,
        difference_cents=quote.difference_cents,
        stopped_cents=quote.reduction.stopped_cents,
        credit_cents=quote.reduction.credit_cents,
        installment=_charge(quote, order, by=by, consent=consent, at=now),
        consent=consent,
        by=by,
        reason=reason,
    )
    if done.credit_cents:
        give_for(
            order=order,
            cents=done.credit_cents,
            on=local_date(now),
            cause=CreditCause.TRANSFER,
            reason=str(done)[:300],
            by=by,
        )
    done.save()  # last: it triggers the family's email
    return done


def _lock(enrollment: Enrollment, course: Course) -> Order:
    """Family, both classes by id, order."""
    lock_household_of(enrollment.child_id)
    lock_courses([enrollment.course_id, course.pk])
    return lock_order_of(enrollment.pk)


def _new_place(quote: TransferQuote, order: Order) -> Enrollment:
    joined = Enrollment.objects.create(
        child=quote.item.child,
        course=quote.course,
        status=EnrollmentStatus.ACTIVE,
        seat_number=seat_numbers_for_sale(quote.course)[0],
    )
    OrderItem.objects.create(
        order=order,
        child=quote.item.child,
        course=quote.course,
        enrollment=joined,
        moved_from=quote.item,
        list_cents=quote.list_cents,
        sibling_cents=quote.list_cents - quote.price_cents,
        net_cents=quote.price_cents,
        explanation=_explanation(quote),
    )
    return joined


def _explanation(quote: TransferQuote) -> list[dict[str, str | int]]:
    cents = quote.list_cents - quote.price_cents
    label = gettext("The discounts of %(course)s, in proportion") % {"course": quote.item.course}
    return [{"label": label, "cents": cents}] if cents else []


def _charge(
    quote: TransferQuote, order: Order, *, by: User, consent: str, at: datetime.datetime
) -> Installment | None:
    """An installment for what the new class costs more, charged at once if the family has agreed to it."""
    if quote.difference_cents <= 0:
        return None
    last = order.installments.order_by("-number").values_list("number", flat=True).first() or 0
    on = local_date(at)
    installment = Installment.objects.create(
        order=order,
        number=last + 1,
        due_on=on,
        amount_cents=quote.difference_cents,
        consent=record_move_consent(text=consent, by=by, at=at) if consent else None,
    )
    if consent and quote.card:
        start_attempt(installment, card=quote.card, kind=ChargeKind.STAFF, on=on)
        enqueue("billing.tasks.charge")
    return installment
