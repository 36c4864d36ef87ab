"""Whatever families, staff and the bank do, in any order: after each step every invariant holds, and Stripe
keeps exactly the money that our rows say."""

import contextlib
from datetime import timedelta

import hypothesis.strategies as st
import pytest
import time_machine
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.changes import seat_release, transfer
from billing.changes.cancellation import cancel_enrollment, settle_waiting_cancellations
from billing.changes.class_closure import close_session, preview_session, process_closures
from billing.changes.waitlist import accept_offer, join_waitlist, price_cents, serve_priority
from billing.checkout.holds import expire_holds
from billing.checkout.payable import NotPayable
from billing.checkout.payment_page import NothingToPay, payment_page
from billing.checkout.place_order import place_order
from billing.installments.attempts import run_attempt
from billing.installments.dunning import start_charges
from billing.installments.staff_actions import record_offline, waive
from billing.ledger import refund_sending, refunds
from billing.ledger.credits import expire_credits
from billing.ledger.settle import settle_checkout_session, settle_invoice, settle_payment_intent
from billing.models import (
    ChargeAttempt,
    Installment,
    InstallmentStatus,
    Payment,
    PaymentMethod,
    PaymentPlan,
    Refund,
    Terms,
)
from billing.models.installments import OPEN_INSTALLMENT
from csf.dates import local_date
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.classes import waitlist
from enrollments.locks import lock_course
from enrollments.models import Course, CourseSession, Enrollment
from orders.cart import add_to_cart
from orders.models import Order, cart_of
from orders.refusal import OrderRefused
from tests import lock_order
from tests.bank import Bank
from tests.factories import create_course, create_household, create_staff
from tests.hosted_page import invoice_page

FAMILIES, CLASSES, SEATS = 5, 3, 2
ANSWERS = ["ok", "ok", "ok", "insufficient_funds", "lost_card", "expired_card", "authentication_required"]
families, classes, picks = st.integers(0, FAMILIES - 1), st.integers(0, CLASSES - 1), st.integers(0, 99)
REFUSALS = (OrderRefused, Stale, NothingToPay, NotPayable, NotPossible, waitlist.NoSeat)


def exists(model, **lookups):
    """A rule is only worth a step while there is something to do it to."""
    return precondition(lambda self: model.objects.filter(**lookups).exists())


def some(rows, pick):
    """One of them, or None."""
    found = list(rows.order_by("pk"))
    return found[pick % len(found)] if found else None


class School(RuleBasedStateMachine):
    """A few families want the same few seats."""

    def __init__(self):
        super().__init__()
        self.undo = contextlib.ExitStack()
        patch = self.undo.enter_context(pytest.MonkeyPatch.context())
        self.clock = self.undo.enter_context(time_machine.travel(timezone.now(), tick=False))
        self.undo.enter_context(lock_order.outermost())
        self.bank = Bank()
        self.bank.install(patch)

    def teardown(self):
        transaction.set_rollback(True)
        self.undo.close()

    @initialize()
    def open_the_school(self):
        self.office, self.finance = create_staff(), create_staff()
        prices = [6000, 10000, 14500]
        for number in range(CLASSES):
            course = create_course(sessions=6, capacity=SEATS, price_cents=prices[number])
            Course.objects.filter(pk=course.pk).update(registration_closes_at=self.now + timedelta(days=90))
        self.courses = list(Course.objects.order_by("pk"))
        self.families = [create_household(children=2) for _ in range(FAMILIES)]
        PaymentPlan.objects.create(name="three", parts=3, interval="weekly")
        for family in range(CLASSES):  # the classes are full from the beginning
            self._place(family, {family % CLASSES, (family + 1) % CLASSES}, in_parts=family % 2 == 0)
            self._pay(Order.objects.get(status="placed"), "ok")

    @property
    def now(self):
        return timezone.now()

    @property
    def today(self):
        return local_date(self.now)

    def _guardian(self, household):
        return household.guardians.get()

    # --- Families -------------------------------------------------------------------------------------------

    @rule(family=families, course=classes, other=classes, in_parts=st.booleans(), use_credit=st.booleans())
    def place(self, family, course, other, in_parts, use_credit):
        with contextlib.suppress(*REFUSALS), transaction.atomic():
            self._place(family, {course, other}, in_parts=in_parts, use_credit=use_credit)

    def _place(self, family, courses, *, in_parts, use_credit=False):
        household = self.families[family]
        for child, number in zip(household.children.all(), sorted(courses), strict=False):
            add_to_cart(household=household, child=child, course=self.courses[number], now=self.now)
        place_order(
            order=cart_of(household),
            by=self._guardian(household),
            now=self.now,
            plan=PaymentPlan.objects.get() if in_parts else None,
            use_credit=use_credit,
        )

    @exists(Order, status="placed")
    @rule(pick=picks, answer=st.sampled_from(ANSWERS))
    def pay_at_checkout(self, pick, answer):
        self._pay(some(Order.objects.filter(status="placed"), pick), answer)

    def _pay(self, order, answer):
        with contextlib.suppress(*REFUSALS):
            payment_page(order=order, by=self._guardian(order.household), now=self.now)
        attempt = ChargeAttempt.objects.payable().filter(installment__order=order).first()
        if attempt and attempt.stripe_session_id:
            self.bank.says = [answer]
            if intent := self.bank.pay_session(attempt.stripe_session_id):
                settle_payment_intent(intent)
                settle_checkout_session(self.bank.sessions[attempt.stripe_session_id])

    @exists(Installment, status__in=OPEN_INSTALLMENT, order__status="confirmed")
    @rule(pick=picks)
    def pay_an_installment_on_stripes_page(self, pick):
        installment = some(Installment.objects.open().filter(order__status="confirmed"), pick)
        with contextlib.suppress(*REFUSALS):
            if installment:
                invoice_page(installment)
                installment.refresh_from_db()
                if paid := self.bank.pay_hosted(installment.stripe_invoice_id):
                    settle_invoice(paid)

    @exists(Enrollment, status="active")
    @rule(pick=picks, by_family=st.booleans(), terms=st.sampled_from([None, *Terms]))
    def cancel(self, pick, by_family, terms):
        enrollment = some(Enrollment.objects.filter(status="active"), pick)
        if enrollment:
            by = self._guardian(enrollment.child.household) if by_family else self.office
            cancel_enrollment(
                enrollment=enrollment,
                by=by,
                reason="no time",
                now=self.now,
                terms=None if by_family else terms,
            )

    @rule(family=families, course=classes, pick=picks, priority=st.booleans())
    def join(self, family, course, pick, priority):
        household = self.families[family]
        child = some(household.children, pick)
        at_most = price_cents(child, self.courses[course], now=self.now) if priority else None
        with contextlib.suppress(*REFUSALS):
            join_waitlist(
                child=child,
                course=self.courses[course],
                by=self._guardian(household),
                now=self.now,
                at_most_cents=at_most,
            )

    @exists(Enrollment, status="offered")
    @rule(pick=picks, accepts=st.booleans())
    def answer_an_offer(self, pick, accepts):
        enrollment = some(Enrollment.objects.filter(status="offered"), pick)
        if enrollment is None:
            return
        by = self._guardian(enrollment.child.household)
        with contextlib.suppress(*REFUSALS):
            if accepts:
                accept_offer(enrollment=enrollment, by=by, now=self.now)
            else:
                waitlist.leave(enrollment, by=by, now=self.now, reason="no time")

    @exists(Enrollment, status="active")
    @rule(pick=picks, offers=st.booleans())
    def offer_the_place(self, pick, offers):
        enrollment = some(Enrollment.objects.filter(status__in=["active", "on_offer"]), pick)
        with contextlib.suppress(*REFUSALS):
            by = self._guardian(enrollment.child.household)
            if offers:
                seat_release.offer_to_waitlist(enrollment, by=by, now=self.now)
            else:
                seat_release.keep(enrollment, by=by)

    # --- Staff ----------------------------------------------------------------------------------------------

    @exists(Refund, status="requested")
    @rule(pick=picks, approved=st.booleans())
    def decide_about_a_refund(self, pick, approved):
        refund = some(Refund.objects.filter(status="requested"), pick)
        with contextlib.suppress(*REFUSALS):
            if refund and approved:
                refunds.approve(refund=refund, by=self.finance)
            elif refund:
                refunds.reject(refund=refund, by=self.finance, reason="not agreed")

    @exists(Payment)
    @rule(pick=picks, cents=st.integers(1, 5000))
    def ask_for_a_refund(self, pick, cents):
        payment = some(Payment.objects.all(), pick)
        with contextlib.suppress(*REFUSALS):
            if payment:
                refunds.ask_for_refund(payment=payment, cents=cents, reason="kind", by=self.office)

    @exists(Enrollment, status="active")
    @rule(pick=picks, course=classes, agreed=st.booleans())
    def move_a_child(self, pick, course, agreed):
        enrollment = some(Enrollment.objects.filter(status="active"), pick)
        with contextlib.suppress(*REFUSALS):
            if enrollment:
                transfer.transfer(
                    enrollment=enrollment,
                    course=self.courses[course],
                    by=self.office,
                    reason="another day",
                    now=self.now,
                    consent="by phone" if agreed else "",
                )

    @rule(course=classes, more=st.integers(-1, 1))
    def change_the_capacity(self, course, more):
        with transaction.atomic():
            locked = lock_course(self.courses[course].pk)
            highest = max((row.seat_number for row in locked.enrollments.occupying()), default=1)
            locked.capacity = max(locked.capacity + more, highest)
            locked.save(update_fields=["capacity"])
            waitlist.fill(locked, now=self.now)

    @exists(Installment, status__in=OPEN_INSTALLMENT, order__status="confirmed")
    @rule(pick=picks, cash=st.booleans())
    def end_an_installment(self, pick, cash):
        installment = some(Installment.objects.open().filter(order__status="confirmed"), pick)
        with contextlib.suppress(*REFUSALS):
            if installment and cash:
                record_offline(
                    installment=installment,
                    by=self.office,
                    reason="at the desk",
                    method=PaymentMethod.CASH,
                    received_at=self.now,
                )
            elif installment:
                waive(installment=installment, by=self.office, reason="hardship")

    @precondition(lambda self: CourseSession.objects.filter(cancelled_at__isnull=False).count() < 2)
    @rule(course=classes, pick=picks)
    def close_a_session(self, course, pick):
        session = some(self.courses[course].sessions.filter(cancelled_at=None), pick)
        with contextlib.suppress(*REFUSALS):
            if session:
                close_session(
                    session=session,
                    by=self.office,
                    reason="the pool is closed",
                    now=self.now,
                    fingerprint=preview_session(session=session).fingerprint,
                )
                process_closures(now=self.now)

    # --- Time and workers -----------------------------------------------------------------------------------

    @rule(answers=st.lists(st.sampled_from(ANSWERS), min_size=1, max_size=4))
    def work(self, answers):
        """What the sweeps and the daily jobs do."""
        self.bank.says = list(answers)
        start_charges([InstallmentStatus.SCHEDULED], on=self.today)
        start_charges([InstallmentStatus.RETRY_WAIT], on=self.today)
        self._sweep()

    @rule(hours=st.sampled_from([1, 13, 24, 24 * 7, 24 * 16]))
    def wait(self, hours):
        self._sweep()
        self.clock.shift(timedelta(hours=hours))
        self._sweep()

    def _sweep(self):
        expire_holds(now=self.now)
        expire_credits(on=self.today)
        waitlist.sweep(now=self.now)
        serve_priority(now=self.now)
        seat_release.sell_offered_seats(now=self.now)
        for attempt in ChargeAttempt.objects.on_saved_cards().waiting().order_by("pk"):
            run_attempt(attempt.pk)
        settle_waiting_cancellations()
        refund_sending.refund_waiting()

    # --- What must hold -------------------------------------------------------------------------------------

    @invariant()
    def every_invariant_holds(self):
        assert violations() == []

    @invariant()
    def stripe_keeps_what_our_rows_say(self):
        paid = sum(row.amount_cents for row in Payment.objects.filter(method="stripe"))
        back = sum(row.amount_cents for row in Refund.objects.filter(status="succeeded", method="stripe"))
        assert self.bank.kept_cents == paid - back


@pytest.mark.django_db
@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.chaos)])
def test_in_any_order_the_rows_agree(examples):
    assert settings.CREDIT_LIFE_DAYS  # else nothing runs out
    options = hypothesis_settings(
        max_examples=examples,
        stateful_step_count=40,
        phases=[Phase.generate],  # to shrink a failure would take longer than to read it
        derandomize=examples < 100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(School, settings=options)
