"""The staff pages, crawled: every admin with no rows, one and three."""

from html import escape

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.models import (
    Cancellation,
    ChargeAttempt,
    Credit,
    Dispute,
    Installment,
    KnownIntent,
    Payment,
    Refund,
    StripeEvent,
)
from billing.task_kinds import MoneyTask
from csf.models import Breaker, FormPress, StaffTask
from enrollments.models import Course, Enrollment, Household, User
from notifications.models import DrainSignal, EmailAttempt, EmailEvent, EmailMessage
from orders.models import Order, OrderItem
from tests.factories import create_child, create_course, create_household
from tests.office.everything import (
    HOSTILE,
    SECRETS,
    create_changes,
    create_event,
    create_everything,
    create_paid_order,
    page_of,
)

pytestmark = pytest.mark.django_db

OURS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
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
