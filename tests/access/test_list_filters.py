"""Lists of the admin: no filter reads a column that the list does not show, no value is a server error."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.urls import reverse

from enrollments.models import User
from tests.factories import create_household, create_order
from tests.stripe_events import SECRET, create_endpoint

pytestmark = pytest.mark.django_db


def found(client, label, **filters):
    return client.get(reverse(f"admin:{label}_changelist"), filters)


@pytest.fixture
def viewer(client):
    """May see everything and change nothing."""
    user = User.objects.create(email="viewer@example.org", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(user)
    return client


HIDDEN = [
    ("djstripe_webhookendpoint", {"secret__startswith": SECRET[:7]}),
    ("djstripe_webhookendpoint", {"secret": SECRET}),
    ("djstripe_webhookendpoint", {"stripe_data__secret__startswith": "w"}),
    ("djstripe_customer", {"stripe_data__email__contains": "a"}),
    ("billing_stripeevent", {"body__contains": "email"}),
    ("notifications_emailmessage", {"text__contains": "a"}),
    ("notifications_emailmessage", {"secret__gt": ""}),
    ("notifications_emailmessage", {"context__contains": "{}"}),
    ("notifications_emailmessage", {"recipient__password__startswith": "argon2"}),
    ("notifications_emailattempt", {"message__text__contains": "a"}),
    ("enrollments_user", {"password__startswith": "argon2"}),
    ("enrollments_user", {"authenticator__data__secret__startswith": "v1"}),
    ("enrollments_household", {"guardians__password__startswith": "a"}),
    ("enrollments_household", {"created_at__gt": "2020-01-01"}),
    ("enrollments_child", {"born_on__gte": "2015-01-01"}),
    ("enrollments_enrollment", {"child__first_name__startswith": "K"}),
    ("enrollments_enrollment", {"course__program__name__startswith": "S"}),
    ("orders_order", {"household__guardians__password__startswith": "a"}),
    ("orders_order", {"status__in": "placed,confirmed"}),
    ("orders_order", {"status__regex": "("}),
    ("account_emailaddress", {"user__password__startswith": "a"}),
]


@pytest.mark.parametrize(("label", "filters"), HIDDEN)
def test_no_filter_reads_what_the_list_does_not_show(viewer, label, filters):
    create_endpoint()

    answer = found(viewer, label, **filters)

    assert (answer.status_code, answer["Location"].partition("?")[2]) == (302, "e=1")


@pytest.mark.parametrize(
    ("label", "filters", "status"),
    [
        ("orders_order", {"status__exact": "placed"}, 200),
        ("orders_order", {"placed_at__gte": "2020-01-01 00:00Z", "placed_at__lt": "2040-01-01 00:00Z"}, 200),
        ("orders_order", {"placed_at__year": "2026", "placed_at__month": "7"}, 200),
        ("orders_order", {"q": "garcia"}, 200),
        ("orders_order", {"id__exact": "1"}, 200),
        ("enrollments_enrollment", {"course__program__id__exact": "1"}, 200),
        ("enrollments_course", {"is_published__exact": "1", "cancelled_at__isempty": "1"}, 200),
        ("csf_stafftask", {"state": "open"}, 200),
    ],
)
def test_the_lists_own_filters_go_on_working(viewer, label, filters, status):
    create_order()

    assert found(viewer, label, **filters).status_code == status


ODD = ["(", "99999999999", "-99999999999999999999", "9" * 5000, "'", "\ud800", "%", "[]", ""]
RICH = ["orders.Order", "enrollments.Enrollment", "billing.Installment", "notifications.EmailMessage"]


def parameters(model_admin):
    """The filters that this list shows, with every lookup they could be given."""
    if model_admin.date_hierarchy:
        yield from (f"{model_admin.date_hierarchy}__{part}" for part in ("year", "month", "day", "gte"))
    for item in model_admin.list_filter:
        if isinstance(item, type):
            yield item.parameter_name
        else:
            path = item[0] if isinstance(item, tuple) else item
            yield from (f"{path}__{lookup}" for lookup in ("exact", "isnull", "gte", "regex", "isempty"))


def answer_to(client, model, name, value):
    client.raise_request_exception = False
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return client.get(url, {name: value.encode("utf-8", "surrogatepass")}).status_code


def test_every_list_of_the_site_is_strict(client):
    client.force_login(User.objects.create_superuser("owner@example.org"))
    for model, model_admin in admin.site._registry.items():
        assert answer_to(client, model, "pk__regex", "(") == 302, model
        for name in parameters(model_admin):
            assert answer_to(client, model, name, "\0") == 302, (model, name)


@pytest.mark.parametrize("label", RICH)
def test_no_odd_value_is_a_server_error(client, label):
    client.force_login(User.objects.create_superuser("owner@example.org"))
    model = apps.get_model(label)
    own = ["p", "o", "q", "all", "e", "_to_field", "_popup", "_facets", "nonsense", "pk__in", "id__exact"]
    for name in [*own, *parameters(admin.site._registry[model])]:
        for value in ODD:
            assert answer_to(client, model, name, value) in {200, 302, 400}, (name, value[:20])


@pytest.mark.parametrize("value", ["\0", *ODD])
def test_search_and_history_take_odd_values_too(client, value):
    client.force_login(User.objects.create_superuser("owner@example.org"))
    client.raise_request_exception = False
    household = create_household()
    raw = value.encode("utf-8", "surrogatepass")
    found = [
        client.get(reverse("admin:search"), {"s": raw}),
        client.get(
            reverse("admin:autocomplete"),
            {"app_label": "orders", "model_name": "promocode", "field_name": "program", "term": raw},
        ),
        client.get(reverse("admin:enrollments_household_change", args=[household.pk]) + "%00/change/"),
        client.get("/admin/enrollments/household/%00/change/"),
        client.get("/admin/enrollments/household/99999999999999999999/history/"),
    ]
    assert max(answer.status_code for answer in found) < 500, [answer.status_code for answer in found]
