"""What the office types as money or percent, and the integers that come of it."""

import pytest
from django import forms
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.models import PaymentPlan
from csf.forms.fields import HIGHEST_CENTS, CentsField, PercentField
from enrollments.models import Course, User
from orders.models import PromoCode
from tests.factories import create_course, create_staff
from tests.staff_pages import course_data


@given(st.integers(1, HIGHEST_CENTS))
def test_an_amount_that_is_shown_and_saved_again_stays_as_it_is(cents):
    field = CentsField()

    assert field.clean(field.prepare_value(cents)) == cents
    assert field.has_changed(cents, field.prepare_value(cents)) is False


@given(st.integers(0, 10_000))
def test_a_percentage_that_is_shown_and_saved_again_stays_as_it_is(basis_points):
    field = PercentField()

    assert field.clean(field.prepare_value(basis_points)) == basis_points


@pytest.mark.parametrize(
    ("typed", "cents"),
    [("120", 12_000), ("120.5", 12_050), (" $1,450.00 ", 145_000), ("0.01", 1), ("120 $", 12_000)],
)
def test_amounts_are_dollars(typed, cents):
    assert CentsField().clean(typed) == cents


@pytest.mark.parametrize(
    "typed", ["1,50", "1.234", "-5", "0", "1e3", "nan", "٣", "12 000", "1000000000", "x", ""]
)
def test_what_is_no_clear_amount_is_refused(typed):
    with pytest.raises(forms.ValidationError):
        CentsField().clean(typed)


@pytest.mark.parametrize(("typed", "bps"), [("10", 1000), ("12.5 %", 1250), ("0.25", 25), ("100", 10_000)])
def test_percentages_are_percent(typed, bps):
    assert PercentField().clean(typed) == bps


@pytest.mark.parametrize("typed", ["100.01", "-1", "1.234", "x"])
def test_what_is_no_percentage_is_refused(typed):
    with pytest.raises(forms.ValidationError):
        PercentField().clean(typed)


@pytest.mark.django_db
def test_every_form_of_the_admin_takes_money_and_percentages(rf):
    request = rf.get("/")
    request.user = create_staff()
    kinds = {}
    for model, model_admin in admin.site._registry.items():
        if model_admin.has_add_permission(request):
            for name, field in model_admin.get_form(request).base_fields.items():
                if name.endswith(("_cents", "_bps")):
                    kinds[f"{model.__name__}.{name}"] = type(field)

    assert kinds == {
        "Course.price_cents": CentsField,
        "PaymentPlan.deposit_bps": PercentField,
        "PromoCode.amount_cents": CentsField,
        "PromoCode.percent_bps": PercentField,
    }


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"starts_on": "0203-09-01"}, "starts_on"),
        ({"ends_on": "2930-09-02"}, "ends_on"),
        ({"ends_on": "2130-09-02"}, "ends_on"),
        # In UTC, as the database keeps it, this moment is of the year 10000.
        ({"registration_closes_at_0": "9999-12-31", "registration_closes_at_1": "23:59"}, None),
    ],
)
def test_a_mistyped_year_is_refused(client, db, changes, error):
    client.force_login(create_staff())

    page = client.post(reverse("admin:enrollments_course_add"), course_data(**changes))

    assert [*page.context["adminform"].form.errors] == [error or "registration_closes_at"]
    assert not Course.objects.filter(slug="judo").exists()


@pytest.mark.parametrize(
    ("changes", "saved"),
    [
        ({"percent_bps": "12.5"}, (1250, 0)),
        ({"amount_cents": "$15"}, (0, 1500)),
        ({"percent_bps": "10", "amount_cents": "15"}, None),
        ({}, None),
    ],
)
def test_a_promo_code_takes_percent_or_dollars(client, db, changes, saved):
    client.force_login(create_staff())

    client.post(reverse("admin:orders_promocode_add"), {"code": "spring", "is_active": "on"} | changes)

    assert list(PromoCode.objects.values_list("percent_bps", "amount_cents")) == ([saved] if saved else [])


@pytest.mark.django_db
def test_who_may_only_look_sees_money_and_percentages(client):
    looker = User.objects.create(email="coach@example.org", is_staff=True)
    for model in (Course, PaymentPlan, PromoCode):
        label = model._meta
        codename = f"view_{label.model_name}"
        looker.user_permissions.add(
            Permission.objects.get(content_type__app_label=label.app_label, codename=codename)
        )
    client.force_login(looker)
    rows = [
        (create_course(price_cents=21_900), "$219.00"),
        (PaymentPlan.objects.create(name="Two", parts=2, deposit_bps=2050), "20.5%"),
        (PromoCode.objects.create(code="TEN", percent_bps=1000), "10%"),
    ]

    for row, shown in rows:
        label = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        page = client.get(reverse(f"{label}_change", args=[row.pk])).content.decode()
        listed = client.get(reverse(f"{label}_changelist")).content.decode()
        assert shown in page
        assert shown in listed
        assert not {"21900", "2050", "cents", "bps"} & set(page.lower().split())


@pytest.mark.parametrize(
    ("typed", "saved"),
    [("4pm", "16:00"), ("3:30 PM", "15:30"), ("3:30\N{NO-BREAK SPACE}pm", "15:30"), ("15:30", "15:30")],
)
def test_times_are_typed_as_pages_show_them_or_by_the_24_hour_clock(client, db, typed, saved):
    client.force_login(create_staff())
    session = {"sessions-TOTAL_FORMS": "1", "sessions-0-held_on": "2030-09-02"}
    session |= {"sessions-0-start_time": typed, "sessions-0-end_time": "6 pm"}
    times = {"start_time": typed, "end_time": "6pm", "registration_opens_at_1": "9am"}

    client.post(reverse("admin:enrollments_course_add"), course_data(**times, **session))

    course = Course.objects.get(slug="judo")
    assert f"{course.start_time:%H:%M}" == saved
    assert f"{course.sessions.get().start_time:%H:%M}" == saved
    assert timezone.localtime(course.registration_opens_at).hour == 9


def test_a_time_that_cannot_be_read_gets_an_example(client, db):
    client.force_login(create_staff())
    times = {"start_time": "25:00", "registration_opens_at_1": "noon"}

    answer = client.post(reverse("admin:enrollments_course_add"), course_data(**times))

    assert answer.context["adminform"].form.errors == {
        "start_time": ["Enter a time like 4:30 PM or 16:30."],
        "registration_opens_at": ["Enter a time like 4:30 PM or 16:30."],
    }
