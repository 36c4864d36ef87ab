"""What has no facts can be deleted, what has is archived: hidden from parents and lists, and restored."""

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from billing.checkout.place_order import place_order
from billing.models import PaymentPlan
from enrollments.models import Course, CourseSession, Location, Program
from orders.models import PromoCode
from tests.factories import create_cart, create_course, create_order, create_staff
from tests.staff_forms import press as press_button
from tests.staff_forms import publish_page

KINDS = [Course, Program, Location, PromoCode, PaymentPlan]


@pytest.fixture
def office(client, db):
    client.force_login(create_staff())
    return client


def page(row, name):
    label = type(row)._meta
    args = [] if name in {"changelist", "add"} else [row.pk]
    return reverse(f"admin:{label.app_label}_{label.model_name}_{name}", args=args)


def press(office, row, action):
    return office.post(
        page(row, "changelist"), {"action": action, "_selected_action": [row.pk], "index": "0"}
    )


def without_facts(kind):
    match kind.__name__:
        case "Course":
            return create_course(sessions=10)
        case "PromoCode":
            return PromoCode.objects.create(code="SPRING", percent_bps=1000)
        case "PaymentPlan":
            return PaymentPlan.objects.create(name="Three", parts=3)
    return kind.objects.create(name="Nowhere")


def with_facts(kind):
    """Named by an order that is over."""
    course = create_course(sessions=10)
    plan = PaymentPlan.objects.create(name="Two", parts=2)
    code = PromoCode.objects.create(code="SPRING", percent_bps=1000)
    order = create_cart(courses=[course])
    type(order).objects.filter(pk=order.pk).update(promo_code=code)
    order.refresh_from_db()
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now(), plan=plan)
    course.enrollments.update(status="released", seat_number=None, expires_at=None)
    if kind in {Program, Location}:
        Course.objects.update(archived_at=timezone.now())
    return {Course: course, PaymentPlan: plan, PromoCode: code}.get(kind) or kind.objects.get()


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_facts_is_deleted_with_its_parts(office, kind):
    row = without_facts(kind)

    assert office.post(page(row, "delete"), {"post": "yes"}).status_code == 302
    assert not kind.objects.filter(pk=row.pk).exists()
    assert kind is not Course or not CourseSession.objects.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_facts_is_archived_and_restored_but_never_deleted(office, kind):
    row = with_facts(kind)
    shown = f'href="{page(row, "change")}'

    assert office.post(page(row, "delete"), {"post": "yes"}).status_code == 403
    before = shown in office.get(page(row, "changelist")).text
    press(office, row, "archive_rows")
    said = office.get(page(row, "changelist")).text
    hidden = "restore it" in said and said.count(shown) == 1  # only the message still leads there
    listed = shown in office.get(page(row, "changelist") + "?archived=yes").text
    row.refresh_from_db()
    assert (before, hidden, listed, row.archived_at is not None) == (True, True, True, True)
    assert getattr(row, "is_published", False) is False
    assert getattr(row, "is_active", False) is False

    press(office, row, "restore_rows")
    row.refresh_from_db()
    assert row.archived_at is None
    assert shown in office.get(page(row, "changelist")).text


def test_a_class_with_children_in_it_is_not_archived(office):
    order = create_order(courses=[create_course(sessions=10)])
    course = order.items.get().course

    answer = press(office, course, "archive_rows")
    press(office, course.program, "archive_rows")

    course.refresh_from_db()
    course.program.refresh_from_db()
    assert (course.archived_at, course.is_published, course.program.archived_at) == (None, True, None)
    assert "children are enrolled" in office.get(answer.url).text


def test_an_archived_class_is_not_found_by_parents_and_not_published(office, client):
    course = create_course(sessions=10)
    press(office, course, "archive_rows")

    press_button(office, publish_page(course))

    course.refresh_from_db()
    assert not course.is_published
    assert client.get(course.get_absolute_url()).status_code == 404


def test_an_archived_place_cannot_be_chosen_for_a_class(office):
    place = without_facts(Location)
    choices = reverse("admin:autocomplete") + "?app_label=enrollments&model_name=course&field_name=location"
    before = office.get(choices).json()["results"]
    press(office, place, "archive_rows")

    assert [row["text"] for row in before] == ["Nowhere"]
    assert office.get(choices).json()["results"] == []


def test_an_archived_code_takes_nothing_off(office):
    code = without_facts(PromoCode)
    press(office, code, "archive_rows")
    code.refresh_from_db()

    assert not code.is_valid_on(timezone.now().date())


def test_no_list_offers_to_delete_all_that_is_selected(rf, db):
    request = rf.get("/")
    request.user = create_staff()

    offered = [
        model.__name__
        for model, model_admin in admin.site._registry.items()
        if "delete_selected" in model_admin.get_actions(request)
    ]

    assert offered == []
