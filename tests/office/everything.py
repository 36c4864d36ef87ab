"""A row, or three, of every model that the staff pages show, with hostile words and secrets in it."""

import itertools
import json
from datetime import timedelta

from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.signing import SignedPackage
from djstripe.models import (
    Account,
    APIKey,
    Charge,
    Customer,
    Event,
    PaymentIntent,
    PaymentMethod,
    Session,
    WebhookEndpoint,
)

from billing.changes.cancellation import cancel_enrollment
from billing.ledger.refunds import approve
from billing.models import (
    BookDifference,
    CardStop,
    CardUpdate,
    ChargeAttempt,
    ChargeStatus,
    Closure,
    ClosureLine,
    ComparedDay,
    Consent,
    Credit,
    Dispute,
    InstallmentNote,
    Payment,
    PaymentPlan,
    Refund,
    StripeCustomer,
    StripeEvent,
    Transfer,
    WaitlistConsent,
)
from billing.task_kinds import MoneyTask
from csf.models import Instance, JobRun, ProofRun, StaffTask
from enrollments.classes.changes import plan_of
from enrollments.models import CourseChange, Enrollment, GuardianInvitation
from notifications.models import (
    Alert,
    EmailAct,
    EmailAttempt,
    EmailEvent,
    EmailMessage,
    EmailPreference,
    EmailStatus,
    FamilyMessage,
    FamilyMessageLine,
    Suppression,
)
from orders.models import PromoCode, PromoRedemption, PromoUse
from tests.factories import (
    create_card,
    create_child,
    create_cluster,
    create_course,
    create_household,
    create_order,
    create_staff,
)

HOSTILE = "<script>alert(1)</script> 🤸"
SECRETS = ["whsec_canary_canary", "sk_test_canary_canary", "pi_secret_canary", "code-canary-493811"]


_numbers = itertools.count(1)


def create_paid_order(*, household=None):
    """Paid through Stripe's page, with an attempt, a payment and its email."""
    order = create_order(household=household)
    now = timezone.now()
    for part in order.installments.all():
        attempt = ChargeAttempt.objects.create(
            installment=part,
            number=1,
            kind="checkout",
            amount_cents=part.amount_cents,
            currency="usd",
            session_expires_at=now + timedelta(hours=1),
            error=HOSTILE,
        )
        attempt.transition_to(ChargeStatus.SENDING, reason=HOSTILE)
        attempt.transition_to(ChargeStatus.SUCCEEDED)
        part.start_charging()
        part.pay(reason=HOSTILE)
        payment = Payment.objects.create(
            order=order,
            installment=part,
            amount_cents=part.amount_cents,
            currency="usd",
            stripe_payment_intent_id=f"pi_{next(_numbers)}",
            card_brand="visa",
            card_last4="4242",
            received_at=now,
        )
    order.confirm(reason=HOSTILE)
    for email in EmailMessage.objects.filter(context__order_number=order.number):
        EmailMessage.objects.filter(pk=email.pk).update(
            subject=HOSTILE, html=f"<p>{HOSTILE}</p>", text=HOSTILE, status=EmailStatus.SENT
        )
        EmailAttempt.objects.create(
            message=email, outcome="sent", http_status=202, duration_ms=80, error=HOSTILE
        )
        EmailEvent.objects.create(
            key=f"key{next(_numbers)}",
            outbox_id=email.public_id,
            name="bounce",
            detail=HOSTILE,
            happened_at=now,
        )
        EmailAct.objects.create(message=email, act="withheld", by=order.placed_by, reason=HOSTILE)
    return order, payment


def create_event(**fields):
    number = next(_numbers)
    body = {"id": f"evt_{number}", "data": {"object": {"client_secret": SECRETS[2], "name": HOSTILE}}}
    return StripeEvent.objects.create(
        **{
            "stripe_id": f"evt_{number}",
            "type": "payment_intent.succeeded",
            "livemode": False,
            "body": json.dumps(body),
            "note": HOSTILE,
        }
        | fields
    )


def create_everything():
    """One more row of every model on the staff site, with a hostile name wherever there is one."""
    number = next(_numbers)
    household = create_household(name=HOSTILE, children=0)
    create_child(household=household, first_name=HOSTILE)
    order, _ = create_paid_order(household=household)
    item = order.items.get()
    item.course.plan_sessions()
    event = create_event()
    BookDifference.objects.create(subject="payment", stripe_id=f"pi_unknown_{number}", theirs=HOSTILE)
    ComparedDay.objects.create(day=timezone.now().date() - timedelta(days=number))
    StaffTask.open(MoneyTask.EVENT_PARKED, event, HOSTILE)
    StripeCustomer.objects.create(household=household, stripe_id=f"cus_{number}")
    create_plan_rows(order, number)
    create_changes(order, number)
    code = PromoCode.objects.create(code=f"CODE{number}", percent_bps=1000)
    redemption = PromoRedemption.objects.create(promo_code=code, order=order, number=1)
    PromoUse.objects.create(
        redemption=redemption, item=item, promo_code=code, household=household, course=item.course
    )
    EmailMessage.objects.create(
        kind="account_login_code",
        to="parent@example.org",
        fact_id=number,
        dedupe_key=f"code:{number}",
        context={},
        secret=json.dumps({"code": SECRETS[3]}),
    )
    create_choices(household)
    create_message(household, number)
    create_cluster(f"{HOSTILE} {number}")
    Alert.objects.create(name=f"sign{number}", level="page", text=HOSTILE)
    Instance.begin()
    JobRun.objects.create(job=HOSTILE[:60], on=timezone.now().date() - timedelta(days=number))
    broken = {"number": "M4", "broken": HOSTILE, "count": 1, "ids": [number]}
    ProofRun.objects.create(mode="full", broken=[broken], finished_at=timezone.now())
    Group.objects.create(name=f"{HOSTILE} {number}")
    create_queue_rows(number)
    create_stripe_objects(number)


def create_message(household, number):
    message = FamilyMessage.objects.create(
        kind="class_message",
        subject=HOSTILE,
        body=HOSTILE,
        audience={"courses": [number], "program": None, "seats": ["active"]},
        by=household.guardians.get(),
        confirmed_at=timezone.now(),
    )
    FamilyMessageLine.objects.create(message=message, household=household, skipped=HOSTILE)


def create_plan_rows(order, number):
    plan = PaymentPlan.objects.create(name=f"{HOSTILE} {number}", parts=2)
    Consent.objects.create(
        order=order, plan=plan, given_by=order.placed_by, text=HOSTILE, schedule=[], given_at=timezone.now()
    )
    InstallmentNote.objects.create(installment=order.installments.first(), by=order.placed_by, text=HOSTILE)
    card = create_card(order, brand=HOSTILE[:30])
    CardStop.objects.create(card=card, reason="withdrawn", payments=[], by=order.placed_by)
    CardUpdate.objects.create(
        household=order.household, requested_by=order.placed_by, stripe_session_id=f"cs_setup_{number}"
    )


def create_changes(order, number):
    """A place of the order given up and its refund made, a child moved, a class closed, a dispute."""
    left = order.items.get().enrollment
    course = create_course()
    joined = Enrollment.objects.create(child=left.child, course=course, status="active", seat_number=1)
    Transfer.objects.create(
        order=order, left=left, joined=joined, difference_cents=0, by=order.placed_by, reason=HOSTILE
    )
    cancel_enrollment(enrollment=left, by=order.placed_by, reason=HOSTILE, now=timezone.now())
    refund = order.refunds.get()
    Refund.objects.filter(pk=refund.pk).update(reason=HOSTILE, error=HOSTILE)
    approve(refund=refund, by=create_staff(), reason=HOSTILE)
    Dispute.objects.create(
        stripe_id=f"dp_{number}",
        payment=refund.payment,
        amount_cents=100,
        currency="usd",
        reason=HOSTILE,
        status="needs_response",
        opened_at=timezone.now(),
    )
    Credit.objects.create(
        household=order.household, amount_cents=number, cause="granted", reason=HOSTILE, order=order
    )
    closure = Closure.objects.create(course=course, terms="credit", reason=HOSTILE, by=order.placed_by)
    line = ClosureLine.objects.create(closure=closure, enrollment=joined)
    line.finish("done", by=order.placed_by, result=HOSTILE)
    plan = plan_of(course, now=timezone.now())
    CourseChange.objects.create(
        course=course, before=plan, after=plan | {"location": HOSTILE}, by=order.placed_by, reason=HOSTILE
    )
    WaitlistConsent.objects.create(
        enrollment=joined, given_by=order.placed_by, at_most_cents=100, text=HOSTILE, given_at=timezone.now()
    )


def create_choices(household):
    lead = household.guardians.get()
    EmailPreference.objects.create(user=lead, choice="newsletter", is_on=True, origin="page")
    Suppression.objects.create(address=lead.email, scope="all", cause="bounced", detail=HOSTILE)
    GuardianInvitation.objects.create(
        household=household,
        invited_by=lead,
        email="robin@example.org",
        first_name=HOSTILE,
        last_name=HOSTILE,
    )


def create_queue_rows(number):
    task = {"id": f"t{number}", "name": HOSTILE, "func": "csf.tasks.canary", "args": (number,), "kwargs": {}}
    OrmQ.objects.create(key="csf", payload=SignedPackage.dumps(task))
    Schedule.objects.create(
        name=f"csf:s{number}", func="csf.tasks.canary", schedule_type="C", cron="0 9 * * *"
    )
    for model, succeeded in [(Success, True), (Failure, False)]:
        model.objects.create(
            id=f"{succeeded}{number}",
            name=HOSTILE,
            func="csf.tasks.canary",
            started=timezone.now(),
            stopped=timezone.now(),
            result=HOSTILE,
            success=succeeded,
        )


def create_stripe_objects(number):
    data = {
        "amount": 14400,
        "amount_total": 14400,
        "currency": "usd",
        "status": "succeeded",
        "captured": True,
        "name": HOSTILE,
        "client_secret": SECRETS[2],
        "type": "card",
    }
    for model in [Account, Charge, Customer, PaymentIntent, PaymentMethod, Session]:
        names = {field.name for field in model._meta.fields}
        extra = {
            name: data[name] for name in ("amount", "currency", "status", "type", "captured") if name in names
        }
        model.objects.create(id=f"{model.__name__}_{number}", livemode=False, stripe_data=data, **extra)
    Event.objects.create(
        id=f"evt_dj_{number}",
        livemode=False,
        type="charge.succeeded",
        data={},
        stripe_data=data,
        api_version="x",
    )
    WebhookEndpoint.objects.create(
        id=f"we_{number}",
        secret=SECRETS[0],
        url="https://example.org/stripe/webhook/",
        livemode=False,
        enabled_events=["*"],
        status="enabled",
        api_version="2026-08-26.dahlia",
        stripe_data={"secret": SECRETS[0]},
    )
    if not APIKey.objects.exists():
        APIKey.objects.create(id="key_1", type="secret", secret=SECRETS[1], livemode=False)


def page_of(model, page, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)
