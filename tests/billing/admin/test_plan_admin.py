"""The form of a payment plan, and the preview of its parts."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.models import PaymentPlan
from csf.dates import local_date
from tests.factories import create_course, create_staff


@pytest.fixture
def owner(client, db):
    client.force_login(create_staff())
    return client


def plan_page(plan):
    return reverse("admin:billing_paymentplan_change", args=[plan.pk])


def preview_of(client, plan, **asked):
    response = client.get(plan_page(plan), {f"preview-{name}": value for name, value in asked.items()})
    assert response.status_code == 200
    return response.context["preview"], response.content.decode()


def test_preview_lists_the_parts_of_the_next_class_and_of_what_is_asked(owner):
    plan = PaymentPlan.objects.create(name="Three", parts=3, deposit_bps=2500)
    create_course(price_cents=12300, ends_on=local_date(timezone.now()) + timedelta(days=200))

    preset, _ = preview_of(owner, plan)
    asked, html = preview_of(owner, plan, price_cents="100.01", first_on="2026-12-31", ends_on="2027-06-01")

    assert [row[2] for row in preset.panel.rows] == ["$30.75", "$46.12", "$46.13"]
    assert [tuple(row) for row in asked.panel.rows] == [
        (1, "Thu, Dec 31, 2026", "$25.00"),
        (2, "Sun, Jan 31, 2027", "$37.50"),
        (3, "Sun, Feb 28, 2027", "$37.51"),
    ]
    assert 'value="100.01"' in html
    assert "save your changes first" in html


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"price_cents": "12"}, None, "an installment would be less than $10.00"),
        ({"ends_on": "2027-01-15"}, None, "would be due on Sun, Jan 31, 2027"),
        ({"price_cents": "-5"}, "price_cents", ""),
        ({"price_cents": "x"}, "price_cents", ""),
        ({"price_cents": "99999999999"}, "price_cents", ""),
        ({"first_on": "9999-12-31"}, "first_on", ""),
        ({"first_on": ""}, "first_on", ""),
        ({"ends_on": "0001-01-01"}, "ends_on", ""),
    ],
)
def test_preview_says_why_there_is_nothing(owner, changes, field, text):
    plan = PaymentPlan.objects.create(name="Two", parts=2)
    asked = {"price_cents": "100", "first_on": "2026-12-31", "ends_on": "2027-06-01"} | changes

    preview, _ = preview_of(owner, plan, **asked)

    assert preview.panel is None
    assert list(preview.form.errors) == ([field] if field else [])
    assert text in preview.why_not
    assert bool(preview.why_not) == (field is None)


def plan_data(**changes):
    return {
        "name": "Four",
        "parts": "4",
        "interval": "monthly",
        "deposit_bps": "12.5",
        "is_active": "on",
    } | changes


def test_deposit_is_typed_as_a_percentage(owner):
    owner.post(reverse("admin:billing_paymentplan_add"), plan_data())
    plan = PaymentPlan.objects.get()
    typed = plan.deposit_bps
    shown = owner.get(plan_page(plan)).content.decode()
    owner.post(plan_page(plan), plan_data(deposit_bps=""))
    plan.refresh_from_db()

    assert (typed, plan.deposit_bps) == (1250, 0)
    assert 'value="12.5"' in shown


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("deposit_bps", value) for value in ("100", "-1", "1.234", "x", "nan")],
        *[("parts", value) for value in ("1", "13", "x")],
        ("name", ""),
        ("interval", "yearly"),
    ],
)
def test_a_wrong_plan_gets_its_error_at_the_field(owner, field, value):
    response = owner.post(reverse("admin:billing_paymentplan_add"), plan_data(**{field: value}))

    assert response.status_code == 200
    assert list(response.context["adminform"].errors) == [field]
    assert not PaymentPlan.objects.exists()
