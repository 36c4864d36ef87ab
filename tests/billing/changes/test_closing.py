"""A class, or one session, that does not take place: every family once, however often the worker dies."""

import itertools
from collections import Counter
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from billing.changes import class_closure
from billing.changes.cancellation import OutcomeChanged, cancel_enrollment, settle_waiting_cancellations
from billing.changes.class_closure import (
    close_class,
    preview_class,
    try_again,
)
from billing.models import (
    Cancellation,
    ChargeAttempt,
    Closure,
    ClosureLine,
    Credit,
    Installment,
    Payment,
    Refund,
    Terms,
)
from csf.jobs import time_budget
from csf.models import StaffTask
from csf.refusal import NotPossible
from csf.staff.actions import CHANGED
from enrollments.classes.waitlist import join
from enrollments.models import Course, Enrollment
from notifications.models import DrainSignal, EmailMessage
from orders.cart import add_to_cart
from orders.refusal import OrderRefused
from tests.billing.changes.closed_class import (
    FULL,
    GONE,
    HALF,
    HELD,
    IN_FLIGHT,
    INVOICE,
    PRICE,
    bulk_families,
    close,
    close_one,
    dies,
    emails,
    work,
)
from tests.factories import create_course, create_household, create_order, create_staff
from tests.staff_forms import page_of, press


@pytest.fixture
def voided(monkeypatch):
    """Stripe says of every invoice that it is void."""
    asked = []

    def void(installment):
        asked.append(installment.stripe_invoice_id)
        return installment.stripe_invoice_id

    monkeypatch.setattr("billing.changes.cancellation.void", void)
    return asked


def test_two_hundred_families_are_handled_once_though_the_worker_dies_twice(
    committed_db, voided, monkeypatch
):
    course = create_course(capacity=400, sessions=10)
    states = [(FULL, HALF, INVOICE, IN_FLIGHT, HELD, GONE, HELD, GONE)[n % 8] for n in range(400)]
    places = bulk_families(course, states)
    monkeypatch.setattr(time_budget, "LOOP_S", 600)
    of = {
        state: [place for place, mine in zip(places, states, strict=True) if mine == state]
        for state in range(6)
    }

    with CaptureQueriesContext(connection) as captured:
        preview = preview_class(course=course, terms=Terms.REFUND, now=timezone.now())
    enrolled = [*of[FULL], *of[HALF], *of[INVOICE], *of[IN_FLIGHT]]
    assert len(preview.effects) == len(enrolled)
    assert len(captured) / len(enrolled) < 9  # statements for each family, of a page that is rarely seen
    assert len(preview.held) == len(of[HELD])
    closure = close(course)

    assert dies(at=301) > 150
    first = closure.lines.filter(status="done").count()
    assert dies(at=200) == 101
    second = closure.lines.filter(status="done").count()
    assert 0 < first < second < len(enrolled)
    while work():
        pass

    closure.refresh_from_db()
    assert (closure.status, closure.lines.filter(status="done").count()) == ("done", len(enrolled))
    assert not Enrollment.objects.filter(course=course, status="active").exists()
    assert set(Cancellation.objects.values_list("enrollment", flat=True)) == {place.pk for place in enrolled}
    waiting = Cancellation.objects.waiting()
    assert set(waiting.values_list("enrollment", flat=True)) == {place.pk for place in of[IN_FLIGHT]}
    told = emails("cancellation_confirmation")
    assert len(told) == len(enrolled) - len(of[IN_FLIGHT])
    for part in Installment.objects.filter(status="charging", order__status="confirmed"):
        attempt = part.attempts.get()
        ChargeAttempt.objects.filter(pk=attempt.pk).update(status="declined")
        Installment.objects.filter(pk=part.pk).update(status="needs_card")
    while settle_waiting_cancellations():
        pass

    figures = ["stopped_cents", "refund_cents", "credit_cents"]
    got = {
        state: set(Cancellation.objects.filter(enrollment__in=of[state]).values_list(*figures))
        for state in of
    }
    half = (PRICE // 2, PRICE // 2, 0)
    assert got == {
        FULL: {(0, PRICE, 0)},
        HALF: {half},
        INVOICE: {half},
        IN_FLIGHT: {half},
        HELD: set(),
        GONE: set(),
    }
    back = Refund.objects.values_list("payment", "amount_cents")
    assert sorted(back) == sorted(
        Payment.objects.filter(order__items__enrollment__in=enrolled).values_list("pk", "amount_cents")
    )
    assert set(Refund.objects.values_list("requested_by", "status")) == {(closure.by_id, "requested")}
    assert not Installment.objects.open().filter(order__status="confirmed").exists()
    assert set(voided) == set(
        Installment.objects.exclude(stripe_invoice_id=None).values_list("stripe_invoice_id", flat=True)
    )
    told = emails("cancellation_confirmation")
    assert (len(told), set(told.values())) == (len(enrolled), {1})
    context = EmailMessage.objects.filter(kind="cancellation_confirmation").first().context
    assert context["closed_because"] == "the hall has burnt down"
    assert [file["method"] for file in context["calendars"]] == ["CANCEL"]


def test_killed_at_any_commit_a_family_is_handled_once(committed_db):
    begun = {}
    for at in itertools.count():
        course = create_course(sessions=10)
        (place,) = bulk_families(course, [HALF])
        close(course)
        DrainSignal.clear()  # so that the family's email has to wake the sender
        begun[at] = dies(at)
        for _ in range(2):
            work()
        assert Cancellation.objects.filter(enrollment=place).count() == 1, at
        assert Refund.objects.filter(order=place.order_item.order).count() == 1, at
        assert EmailMessage.objects.filter(to=place.child.household.guardians.get().email).count() == 1, at
        line = ClosureLine.objects.get(enrollment=place)
        assert (line.status, line.closure.status) == ("done", "done"), at
        assert line.result == "$72.00 not charged, $72.00 to be refunded", at
        if begun[at] * 2 <= at:
            break
    assert at > 8


def test_a_session_is_credited_once_though_the_worker_dies(committed_db):
    course = create_course(capacity=40, sessions=10)
    places = bulk_families(course, [n % 2 for n in range(24)])
    first, second = list(course.sessions.all())[:2]
    left = places[3]
    closure = close_one(first)
    cancel_enrollment(enrollment=left, by=None, reason="no time", now=timezone.now())

    dies(at=61)
    dies(at=40)
    while work():
        pass

    closure.refresh_from_db()
    assert closure.status == "done"
    results = Counter(closure.lines.values_list("result", flat=True))
    assert results == {"$14.40 as credit": 23, "was cancelled before": 1}
    assert Counter(Credit.objects.values_list("cause", "amount_cents")) == {("session", 1440): 23}
    assert set(emails("session_cancelled").values()) == {1}
    assert len(emails("session_cancelled")) == 23
    context = EmailMessage.objects.filter(kind="session_cancelled").first().context
    assert (context["held_on"], context["next_on"]) == (first.held_on.isoformat(), second.held_on.isoformat())
    assert (context["credit_cents"], context["reason"]) == (1440, "the coach is ill")
    assert [row["is_off"] for row in context["calendars"][0]["sessions"]] == [True] + [False] * 9
    with pytest.raises(NotPossible, match="already cancelled"):
        close_one(first)

    # Then the whole class: the session that was given back counts no more.
    closure = close(course)
    while work():
        pass
    assert set(closure.cancellations.values_list("value_cents", flat=True)) == {PRICE - 1440}


@pytest.mark.django_db
def test_who_was_just_paying_gets_everything_back_when_the_money_comes():
    course = create_course(sessions=10)
    held = create_order(courses=[course])
    unpaid = create_order(household=create_household(), courses=[course])
    closure = close(course, terms=Terms.NOTHING)
    course.refresh_from_db()
    work()
    assert (closure.lines.count(), Closure.objects.get().status) == (0, "done")

    with pytest.raises(OrderRefused, match="is cancelled"):
        add_to_cart(
            household=unpaid.household,
            child=create_household().children.get(),
            course=course,
            now=timezone.now(),
        )
    part = held.installments.get()
    Installment.objects.filter(pk=part.pk).update(status="paid")
    Payment.objects.create(
        order=held,
        installment=part,
        amount_cents=PRICE,
        currency="usd",
        stripe_payment_intent_id="pi_late",
        received_at=timezone.now(),
    )
    Closure.objects.update(created_at=timezone.now() - timedelta(seconds=9))
    held.confirm(reason="paid")
    work()

    assert list(Cancellation.objects.values_list("terms", "refund_cents")) == [("refund", PRICE)]
    assert Closure.objects.get().status == "done"
    mails = EmailMessage.objects.filter(to=held.household.guardians.get().email).order_by("pk")
    assert [mail.kind for mail in mails] == [
        "order_confirmation",
        "payment_success",
        "cancellation_confirmation",
    ]
    assert Enrollment.objects.get(order_item__order=unpaid).status == "held"  # its hold ends by itself


@pytest.mark.django_db
def test_a_family_that_fails_is_set_aside_and_tried_again_by_a_person(monkeypatch):
    course = create_course(sessions=10)
    bad, good = bulk_families(course, [FULL, FULL])
    closure, staff = close(course), create_staff()
    real = class_closure.cancel_enrollment

    def broken(*, enrollment, **options):
        if enrollment == bad:
            raise RuntimeError("boom")
        return real(enrollment=enrollment, **options)

    monkeypatch.setattr(class_closure, "cancel_enrollment", broken)
    for _ in range(7):
        assert work() is False  # the others are not kept waiting, and nothing spins
    lines = {line.enrollment_id: line for line in closure.lines.all()}
    assert {line.status for line in lines.values()} == {"failed", "done"}
    assert lines[bad.pk].status == "failed"
    task = StaffTask.objects.get(kind="closure_line")
    assert task.closed_at is None
    closure.refresh_from_db()
    assert closure.status == "done"

    monkeypatch.setattr(class_closure, "cancel_enrollment", real)
    try_again(lines[bad.pk], by=staff)
    work()

    task.refresh_from_db()
    assert task.closed_by == staff
    assert set(closure.lines.values_list("status", flat=True)) == {"done"}
    assert Cancellation.objects.filter(enrollment__in=[bad, good]).count() == 2
    assert emails("cancellation_confirmation").total() == 2


@pytest.mark.django_db
def test_a_preview_that_is_out_of_date_decides_nothing():
    course = create_course(sessions=10)
    bulk_families(course, [FULL, HALF])
    now, staff = timezone.now(), create_staff()
    preview = preview_class(course=course, terms=Terms.CREDIT, now=now)
    assert preview.totals == (PRICE // 2, 0, PRICE + PRICE // 2)
    options = {"course": course, "by": staff, "reason": "x", "now": now}

    with pytest.raises(OutcomeChanged):
        close_class(terms=Terms.REFUND, fingerprint=preview.fingerprint, **options)
    Course.objects.filter(pk=course.pk).update(capacity=30)
    late = bulk_families(create_course(), [FULL])[0]
    Enrollment.objects.filter(pk=late.pk).update(course=course, seat_number=9)
    with pytest.raises(OutcomeChanged):
        close_class(terms=Terms.CREDIT, fingerprint=preview.fingerprint, **options)
    with pytest.raises(NotPossible, match="reason"):
        close_class(terms=Terms.CREDIT, fingerprint=preview.fingerprint, **options | {"reason": " "})

    course.refresh_from_db()
    assert course.cancelled_at is None
    assert not Closure.objects.exists()


@pytest.mark.django_db
def test_who_waits_is_told_and_the_class_is_not_offered(client):
    course = create_course(capacity=1, sessions=10)
    bulk_families(course, [FULL])
    waiting = join(child=create_household(name="Lopez").children.get(), course=course)
    waiting.enter_line("regular", at=timezone.now(), by=None, reason="joined")
    off = course.sessions.all()[2]
    close_one(off)
    work()
    page = client.get(course.get_absolute_url()).text
    assert page.count('class="off"') == 1
    assert "9 dates" in page

    close(course)
    while work():
        pass

    waiting.refresh_from_db()
    assert waiting.status == "declined"
    mail = EmailMessage.objects.get(kind="waitlist_lapsed")
    assert (mail.context["why"], mail.context["closed_because"]) == ("cancelled", "the hall has burnt down")
    assert course.title not in client.get(reverse("catalog")).text
    page = client.get(course.get_absolute_url())
    assert (page.status_code, "has been cancelled" in page.text) == (200, True)


# --- The pages of staff -------------------------------------------------------------------------------------


@pytest.fixture
def staff(client):
    client.user = create_staff()
    client.force_login(client.user)
    return client


def closing_page(course, act="class", **chosen):
    return page_of(course, act, "closing") + (f"?{urlencode(chosen)}" if chosen else "")


@pytest.mark.django_db
def test_staff_see_every_family_before_and_the_progress_after(staff):
    course = create_course(capacity=20, sessions=10)
    bulk_families(course, [FULL, HALF, HELD])
    page = staff.get(reverse("admin:enrollments_course_change", args=[course.pk])).text
    assert "Cancel this class" in page
    assert "Cancel one session" in page
    assert "See what each family gets" in staff.get(closing_page(course)).text
    page, reason = closing_page(course, terms="refund"), "the hall has burnt down"

    assert "the families will see it" in press(staff, page, reason="").text
    preview = staff.get(page)
    assert not Closure.objects.exists()
    for figure in ("$72.00", "$216.00", "Kim0 Garcia", "Kim1 Garcia", "Being paid right now"):
        assert figure in preview.text
    bulk_families(create_course(), [FULL])
    late = Enrollment.objects.latest("pk")
    Enrollment.objects.filter(pk=late.pk).update(course=course, seat_number=9)
    stale = staff.post(page, {"reason": reason, "fingerprint": preview.context["facts"].fingerprint})
    assert CHANGED in stale.text
    assert "$360.00" in stale.text

    seen = stale.context["facts"].fingerprint
    running = staff.post(page, {"reason": reason, "fingerprint": seen}, follow=True)
    assert running.redirect_chain
    assert 'http-equiv="refresh"' in running.text
    assert "0 of 3 done" in running.text
    work()
    closure = Closure.objects.get()
    again = staff.post(page, {"reason": reason, "fingerprint": seen, "press": "2"})
    assert "is already cancelled" in again.text or CHANGED in again.text
    page = reverse("admin:billing_closure_change", args=[closure.pk])
    done = staff.get(page).text
    assert "3 of 3 done" in done
    assert "refresh" not in done
    assert "$72.00 not charged, $72.00 to be refunded" in done
    assert staff.get(closing_page(course)).status_code == 302
    line = closure.lines.first()
    ClosureLine.objects.filter(pk=line.pk).update(status="failed")
    assert "Try again" in staff.get(page).text
    staff.post(reverse("admin:billing_closure_again", args=[closure.pk]), {"line": line.pk})
    work()
    assert "3 of 3 done" in staff.get(page).text


@pytest.mark.django_db
def test_staff_cancel_one_session(staff):
    course = create_course(sessions=10)
    bulk_families(course, [FULL])
    session = course.sessions.all()[1]
    page = closing_page(course, "session", session=session.pk)

    assert "$14.40" in staff.get(page).text
    press(staff, page, reason="the coach is ill")
    work()

    session.refresh_from_db()
    assert session.cancelled_at is not None
    assert Credit.objects.get().amount_cents == 1440
    assert "Select a valid choice" in staff.get(page).text


@pytest.mark.django_db
def test_only_those_with_the_permission_cancel(client):
    course = create_course(sessions=10)
    bulk_families(course, [FULL])
    clerk = create_staff(is_superuser=False)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_course", "change_course", "view_closure"])
    )
    client.force_login(clerk)

    assert (
        "Cancel this class"
        not in client.get(reverse("admin:enrollments_course_change", args=[course.pk])).text
    )
    assert client.get(closing_page(course, terms="refund")).status_code == 403
    closure = close(course)
    assert client.post(reverse("admin:billing_closure_again", args=[closure.pk])).status_code == 403
    assert client.get(reverse("admin:billing_closure_change", args=[closure.pk])).status_code == 200
