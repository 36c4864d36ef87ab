"""The staff pages, crawled: every admin with no rows, one and three."""

import itertools
import json
import re
from datetime import timedelta
from html import escape, unescape

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
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
    Cancellation,
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
    Installment,
    InstallmentNote,
    KnownIntent,
    Payment,
    PaymentPlan,
    Refund,
    StripeCustomer,
    StripeEvent,
    StripeEventStatus,
    Transfer,
    WaitlistConsent,
)
from billing.task_kinds import MoneyTask
from csf.models import Breaker, FormPress, Instance, JobRun, ProofRun, StaffTask
from enrollments.classes.changes import plan_of
from enrollments.models import (
    Course,
    CourseChange,
    Enrollment,
    GuardianInvitation,
    Household,
    Program,
    User,
)
from notifications.models import (
    Alert,
    DrainSignal,
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
from orders.models import Order, OrderItem, PromoCode, PromoRedemption, PromoUse
from tests.factories import (
    create_card,
    create_child,
    create_cluster,
    create_course,
    create_guardian,
    create_household,
    create_order,
    create_staff,
)

pytestmark = pytest.mark.django_db

OURS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
HOSTILE = "<script>alert(1)</script> 🤸"
SECRETS = ["whsec_canary_canary", "sk_test_canary_canary", "pi_secret_canary", "code-canary-493811"]
ODD_SEARCH = "x' %_\""
EDITABLE = {
    "Course",
    "Child",
    "Group",
    "Household",
    "Location",
    "PaymentPlan",
    "Program",
    "PromoCode",
    "Suppression",
    "User",
}

_numbers = itertools.count(1)


@pytest.fixture
def staff(client, monkeypatch):
    monkeypatch.setattr(
        "enrollments.accounts.staff_sign_in.SEEN_EVERY_S", 24 * 3600
    )  # a crawl may take minutes
    user = User.objects.create_superuser("office@example.org", "x", first_name="Olga", last_name="Office")
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    client.force_login(user)
    client.get(reverse("admin:index"))  # the first page of a session writes it
    for concrete in (True, False):  # else the page that needs one first pays for it
        ContentType.objects.get_for_models(*admin.site._registry, for_concrete_models=concrete)
    client.user = user
    return client


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


def pages():
    """All pages of the registered admins; change and history pages of each model's first row, and an email
    that opens an account."""
    yield reverse("admin:index")
    for model in admin.site._registry:
        changelist = page_of(model, "changelist")
        yield changelist
        yield f"{changelist}?q={ODD_SEARCH}".replace("%", "%25").replace('"', "%22").replace(" ", "+")
        yield page_of(model, "add")
        if row := model._default_manager.order_by("pk").first():
            yield page_of(model, "change", row.pk)
            yield page_of(model, "history", row.pk)
    if code := EmailMessage.objects.filter(kind="account_login_code").order_by("pk").first():
        yield page_of(EmailMessage, "change", code.pk)


def crawl(client):
    """Status, number of queries and text by page."""
    found = {}
    for url in pages():
        with CaptureQueriesContext(connection) as queries:
            response = client.get(url)
        found[url] = (response.status_code, len(queries), response.content.decode())
    return found


def test_every_model_of_ours_is_on_the_staff_site_and_nothing_unasked():
    ours = {model for app in OURS for model in apps.get_app_config(app).get_models()}
    others = {model._meta.label for model in admin.site._registry if model not in ours}

    assert ours - set(admin.site._registry) == {Breaker, FormPress, KnownIntent}  # which only the code reads
    assert others == {
        "account.EmailAddress",
        "auth.Group",
        "django_q.Failure",
        "django_q.OrmQ",
        "django_q.Schedule",
        "django_q.Success",
        "djstripe.Account",
        "djstripe.Charge",
        "djstripe.Customer",
        "djstripe.Event",
        "djstripe.PaymentIntent",
        "djstripe.PaymentMethod",
        "djstripe.Session",
        "djstripe.WebhookEndpoint",
    }


def test_every_page_answers_escapes_and_needs_no_more_queries_for_more_rows(staff):
    for status, _, _ in crawl(staff).values():
        assert status in {200, 403}

    create_everything()
    one = crawl(staff)
    create_everything()
    create_everything()
    three = crawl(staff)

    rows = {model._meta.label: model._default_manager.count() for model in admin.site._registry}
    assert [label for label, count in rows.items() if not count] == []
    grown = {url: (page[:2], three[url][:2]) for url, page in one.items() if page[:2] != three[url][:2]}
    assert grown == {}
    refused = {url for url, (status, _, _) in three.items() if status != 200}
    assert refused == {page_of(m, "add") for m in admin.site._registry if m.__name__ not in EDITABLE}
    html = "".join(page for _, _, page in three.values())
    assert [
        word
        for word in ("DatabaseDefault", " cents<", " bps<", "Households", "Get full name")
        if word in html
    ] == []
    assert HOSTILE not in html
    assert escape(HOSTILE) in html
    assert [secret for secret in SECRETS if secret in html] == []


def queries_of(client, url):
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200
    return len(queries)


def test_pages_of_a_family_an_order_and_a_class_need_no_more_queries_for_more_that_hangs_on_them(staff):
    household = create_household()
    order, _ = create_paid_order(household=household)
    course = order.items.get().course
    urls = [
        page_of(type(row), "change", row.pk) for row in [household, household.children.get(), order, course]
    ]
    before = [queries_of(staff, url) for url in urls]

    for _ in range(2):
        create_paid_order(household=household)
        child = create_child(household=household)
        enrollment = Enrollment.objects.create(
            child=child,
            course=course,
            status="active",
            seat_number=course.enrollments.count() + 1,
        )
        OrderItem.objects.create(order=order, child=child, course=course, enrollment=enrollment)

    assert [queries_of(staff, url) for url in urls] == before


def test_family_page_shows_children_orders_and_emails_of_this_family_only(staff):
    household = create_household(name="Visible")
    order, _ = create_paid_order(household=household)
    other, _ = create_paid_order(household=create_household(name="Elsewhere"))

    html = staff.get(page_of(Household, "change", household.pk)).content.decode()

    assert order.number in html
    assert "Order confirmation" in html
    assert order.items.get().course.title in html
    assert other.number not in html
    assert "Elsewhere" not in html


def test_family_page_shows_who_gets_which_emails_and_who_was_invited(staff):
    household = create_household()
    create_choices(household)
    second = create_guardian(household=household, email="second@example.org")
    EmailPreference.objects.create(user=second, choice="copies", is_on=True, origin="invitation")
    create_guardian(household=household, email="third@example.org")

    html = staff.get(page_of(Household, "change", household.pk)).content.decode()

    panel = re.sub(r"<[^>]+>|\s+", " ", html.partition("Who gets the family&#x27;s emails")[2])
    told = " ".join(panel.split())
    assert f"{household.email} yes, leads the family Newsletter: on (the preferences page, " in told
    assert "second@example.org yes, as copies" in told
    assert "third@example.org no" in told
    assert "robin@example.org" in told


def test_order_page_shows_lines_money_emails_and_who_changed_what(staff):
    order, payment = create_paid_order()
    order.refresh_from_db()

    html = staff.get(page_of(Order, "change", order.pk)).content.decode()

    assert page_of(Payment, "change", payment.pk) in html
    assert page_of(ChargeAttempt, "change", ChargeAttempt.objects.get().pk) in html
    assert page_of(EmailMessage, "change", EmailMessage.objects.first().pk) in html
    assert "waiting for payment → confirmed" in html
    assert page_of(User, "change", order.placed_by_id) in html


@pytest.mark.parametrize("rights", [{"is_superuser": True}, {"is_superuser": False}])
def test_facts_cannot_be_added_changed_or_deleted(client, rights):
    client.force_login(User.objects.create(email="a@example.org", is_staff=True, **rights))
    order, _ = create_paid_order()
    create_changes(order, 1)
    create_event()
    StaffTask.open(MoneyTask.EVENT_PARKED, StripeEvent.objects.get())
    facts = [Payment, ChargeAttempt, Installment, Order, OrderItem, Enrollment, StripeEvent, EmailMessage]
    facts += [EmailAttempt, EmailEvent, StaffTask, DrainSignal, Refund, Credit, Cancellation, Dispute]
    facts += [model for model in admin.site._registry if model.__name__.endswith("Transition")]
    for model in facts:
        row = model.objects.order_by("pk").first()
        before = list(model.objects.order_by("pk").values())
        for page, arguments in [("change", [row.pk]), ("delete", [row.pk]), ("add", [])]:
            data = {"status": "paid", "amount_cents": "1", "post": "yes", "to": "x@example.org"}
            assert client.post(page_of(model, page, *arguments), data).status_code == 403
        bulk = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        client.post(page_of(model, "changelist"), bulk)

        assert list(model.objects.order_by("pk").values()) == before


def test_staff_without_rights_see_no_rows_on_any_page(client):
    client.force_login(User.objects.create(email="new@example.org", is_staff=True))
    household = create_household(name="Hidden")
    create_paid_order(household=household)

    start = client.get(reverse("admin:index"))
    found = client.get(reverse("admin:search"), {"s": "hidden", "extended": "1"})

    assert start.context["tiles"] == []
    assert "Hidden" not in start.content.decode() + found.content.decode()
    assert {client.get(page_of(model, "changelist")).status_code for model in admin.site._registry} == {403}


def test_only_a_superuser_makes_staff_and_touches_a_superuser(client):
    owner = User.objects.create_superuser("owner@example.org", "x")
    office = User.objects.create(email="office@example.org", is_staff=True)
    office.user_permissions.set(Permission.objects.filter(content_type__app_label="enrollments"))
    client.force_login(office)
    data = {"email": office.email, "is_active": "on", "is_staff": "on", "is_superuser": "on"}

    client.post(page_of(User, "change", office.pk), data)
    of_owner = client.post(page_of(User, "change", owner.pk), data)
    password = client.post(
        reverse("admin:auth_user_password_change", args=[owner.pk]), {"password1": "n", "password2": "n"}
    )

    office.refresh_from_db()
    assert not office.is_superuser
    assert (of_owner.status_code, password.status_code) == (403, 403)


def test_admin_and_site_have_policies_of_their_own(staff):
    policy = staff.get(page_of(Course, "changelist"))["Content-Security-Policy"]
    of_site = staff.get("/")["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "style-src 'self' 'unsafe-inline'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in of_site


def test_email_is_shown_in_a_frame_that_runs_and_loads_nothing(staff):
    create_paid_order()
    email = EmailMessage.objects.filter(html__contains="script").first()

    html = staff.get(page_of(EmailMessage, "change", email.pk)).content.decode()

    frame = re.search(r"<iframe ([^>]*)>", html).group(1)
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', frame))
    assert frame.startswith("sandbox ")
    assert unescape(attributes["srcdoc"]).startswith(
        "<!doctype html><meta http-equiv='Content-Security-Policy'"
    )
    assert "default-src 'none'" in unescape(attributes["srcdoc"])
    assert HOSTILE in unescape(attributes["srcdoc"])
    assert "<script>alert" not in html


def test_try_again_gives_a_parked_event_back_to_the_inbox_and_wakes_a_worker(staff):
    parked = create_event(status=StripeEventStatus.PARKED, tries=8, finished_at=timezone.now())
    processed = create_event(status=StripeEventStatus.PROCESSED, tries=1, finished_at=timezone.now())

    response = staff.post(
        page_of(StripeEvent, "changelist"),
        {"action": "try_again", "_selected_action": [parked.pk, processed.pk], "index": "0"},
        follow=True,
    )

    parked.refresh_from_db()
    processed.refresh_from_db()
    assert (parked.status, parked.tries, parked.finished_at) == ("received", 0, None)
    assert processed.status == "processed"
    assert [(task.func(), task.args()) for task in OrmQ.objects.all()] == [
        ("billing.tasks.process_event", (parked.stripe_id,))
    ]
    assert "Parked events to try again: 1." in response.content.decode()


def test_closing_a_task_stamps_who_and_when_once(staff):
    StaffTask.open(MoneyTask.EVENT_PARKED, create_event())
    task = StaffTask.objects.get()
    button = {"action": "close", "_selected_action": [task.pk], "index": "0"}
    assert "Close selected tasks" in staff.get(page_of(StaffTask, "change", task.pk)).content.decode()

    staff.post(page_of(StaffTask, "changelist"), button)
    task.refresh_from_db()
    first = (task.closed_by, task.closed_at)
    staff.post(page_of(StaffTask, "changelist"), button)

    task.refresh_from_db()
    assert first[0] == staff.user
    assert (task.closed_by, task.closed_at) == first
    assert 'name="row_action"' not in staff.get(page_of(StaffTask, "change", task.pk)).content.decode()


def test_task_about_many_rows_leads_to_their_list(staff):
    for _ in range(3):
        EmailMessage.report_failed("payment_success", "TemplateDoesNotExist")

    html = staff.get(page_of(StaffTask, "changelist")).content.decode()

    assert StaffTask.objects.count() == 1
    path = f"{page_of(EmailMessage, 'changelist')}?kind__exact=payment_success&status__exact=failed"
    assert f'href="{escape(path)}"' in html
    assert staff.get(path).status_code == 200


def test_event_whose_body_was_purged_has_a_page(staff):
    event = create_event(body="")

    assert "(purged)" in staff.get(page_of(StripeEvent, "change", event.pk)).content.decode()


def test_start_page_counts_and_links_to_the_rows_it_counts(staff):
    StaffTask.open(MoneyTask.EVENT_PARKED, create_event(status=StripeEventStatus.PARKED))
    create_order()
    create_paid_order()
    EmailMessage.objects.filter(pk=EmailMessage.objects.first().pk).update(status=EmailStatus.UNKNOWN)
    queued = EmailMessage.objects.filter(status=EmailStatus.QUEUED).count()

    with CaptureQueriesContext(connection) as queries:
        tiles = staff.get(reverse("admin:index")).context["tiles"]

    assert {tile.title: tile.value for tile in tiles} == {
        "Stripe event that could not be processed": "1",
        "Orders waiting for payment": "1",
        "Paid in the last 7 days": "$144.00",
        "Refunds to approve": "0",
        "Today's daily jobs": "0 of 6 done",
        "Emails that failed": "0",
        "Emails with unknown outcome": "1",
        "Emails waiting": str(queued),
        "Parked Stripe events": "1",
        "Background work": "stopped",
        "Places filled": "12%",
    }
    assert len(queries) <= 12
    listed = {tile.title: staff.get(tile.url).context.get("cl") for tile in tiles}
    for title in [
        "Stripe event that could not be processed",
        "Orders waiting for payment",
        "Emails with unknown outcome",
    ]:
        assert listed[title].result_count == 1, title
    assert listed["Paid in the last 7 days"].result_count == 1
    assert listed["Emails waiting"].result_count == queued


def course_data(**changes):
    return {
        "title": "Judo",
        "slug": "judo",
        "program": Program.objects.get_or_create(name="Judo")[0].pk,
        "location": create_course().location_id,
        "age_min": "6",
        "age_max": "9",
        "price_cents": "144",
        "capacity": "8",
        "starts_on": "2030-09-02",
        "ends_on": "2030-09-30",
        "weekday": "0",
        "start_time": "16:00",
        "end_time": "17:00",
        "registration_opens_at_0": "2030-08-01",
        "registration_opens_at_1": "09:00",
        "registration_closes_at_0": "2030-09-01",
        "registration_closes_at_1": "09:00",
        "sessions-TOTAL_FORMS": "0",
        "sessions-INITIAL_FORMS": "0",
    } | changes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age_max", "5"),
        ("ends_on", "2030-09-01"),
        ("end_time", "16:00"),
        ("registration_closes_at_0", "2030-07-31"),
        ("price_cents", "0.99"),
        ("price_cents", "1,50"),
        ("price_cents", "nan"),
        ("capacity", "-1"),
        ("slug", "not a slug"),
    ],
)
def test_class_form_says_by_the_field_what_is_wrong(staff, field, value):
    response = staff.post(page_of(Course, "add"), course_data(**{field: value}))

    assert response.status_code == 200
    assert list(response.context["adminform"].errors) == [field.removesuffix("_0")]
    assert not Course.objects.filter(title="Judo").exists()


def test_new_class_gets_its_weekly_sessions(staff):
    staff.post(page_of(Course, "add"), course_data())

    assert Course.objects.get(title="Judo").sessions.count() == 5


def test_class_cannot_shrink_below_a_seat_that_is_taken(staff):
    course = create_order().items.get().course
    Enrollment.objects.update(seat_number=7)
    data = course_data(title=course.title, slug=course.slug, capacity="6")

    response = staff.post(page_of(Course, "change", course.pk), data)

    assert response.context["adminform"].errors == {
        "capacity": ["Seat 7 is taken, so the capacity must be at least 7."]
    }


def test_second_guardian_with_the_same_email_in_capitals_is_refused_in_words(staff):
    household = create_household(children=0)
    guardian = household.guardians.get()
    data = {
        "name": "Garcia",
        "guardians-TOTAL_FORMS": "2",
        "guardians-INITIAL_FORMS": "1",
        "guardians-0-id": guardian.pk,
        "guardians-0-household": household.pk,
        "guardians-0-email": guardian.email,
        "guardians-0-is_active": "on",
        "guardians-1-household": household.pk,
        "guardians-1-email": guardian.email.upper(),
        "children-TOTAL_FORMS": "0",
        "children-INITIAL_FORMS": "0",
    }

    html = staff.post(page_of(Household, "change", household.pk), data).content.decode()

    assert "This email address is already in use." in html
    assert household.guardians.count() == 1


@pytest.mark.parametrize("term", ["visible", ODD_SEARCH, "\0"])
def test_search_box_finds_families_and_survives_odd_terms(staff, term):
    household = create_household(name="Visible")

    response = staff.get(reverse("admin:search"), {"s": term, "extended": "1"})

    assert response.status_code == 200
    html = response.content.decode()
    assert (page_of(Household, "change", household.pk) in html) == (term == "visible")
    assert (household.email in html) == (term == "visible")


def test_an_empty_list_and_an_empty_history_say_so_in_plain_words(staff):
    course = create_course()

    empty = staff.get(page_of(Household, "changelist")).content.decode()
    filtered = staff.get(page_of(Course, "changelist") + "?q=nothing").content.decode()
    history = staff.get(page_of(Course, "history", course.pk)).content.decode()

    assert "There are no families yet." in empty
    assert "There are no classes like this." in filtered
    assert "yielded" not in empty + filtered
    assert "Nobody has edited this by hand." in history
    assert "probably" not in history
