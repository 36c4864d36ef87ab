"""What the office types about people is cleaned as what parents type: by the rows, whatever the page."""

import pytest
from django.urls import reverse
from django.utils import timezone

from enrollments.models import Child, EmergencyContact
from tests.factories import create_child, create_contact, create_household, create_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def office(client):
    client.force_login(create_staff())
    return client


def child_form(child, contacts=(), **fields):
    form = {name: getattr(child, name) for name in ("first_name", "last_name", "born_on")}
    form |= {"household": child.household_id, "emergency_contacts-TOTAL_FORMS": len(contacts)}
    form |= {"emergency_contacts-INITIAL_FORMS": 0}
    for index, contact in enumerate(contacts):
        form |= {f"emergency_contacts-{index}-{name}": value for name, value in contact.items()}
    return form | fields


def add(office, form):
    answer = office.post(reverse("admin:enrollments_child_add"), form)
    return [] if answer.status_code == 302 else [*answer.context["adminform"].form.errors]


def test_names_and_numbers_are_single_lines_in_one_form_of_unicode(office):
    household = create_household(children=0)
    typed = Child(
        household=household, first_name="Zoe\u0308\nX", last_name="\u202eGar  cia", born_on="2018-05-31"
    )
    contact = {"name": "Gra\u0308n\nB", "phone": "+1\r\n555 010 0123", "relationship": "Grand\tmother"}

    assert add(office, child_form(typed, [contact])) == []

    child, called = Child.objects.get(), EmergencyContact.objects.get()
    assert str(child) == "Zo\u00eb X Gar cia"
    assert (called.name, called.phone, called.relationship) == (
        "Gr\u00e4n B",
        "+1 555 010 0123",
        "Grand mother",
    )


def test_a_child_of_this_name_and_birthday_or_of_a_day_to_come_is_refused(office):
    child = create_child(household=create_household(children=0), first_name="Zo\u00eb")
    page = reverse("admin:enrollments_child_change", args=[child.pk])

    assert add(office, child_form(child, first_name="ZOE\u0308")) == ["__all__"]
    tomorrow = timezone.localdate() + timezone.timedelta(days=1)
    assert add(office, child_form(child, first_name="Ada", born_on=tomorrow)) == ["born_on"]
    assert office.post(page, child_form(child, last_name="Changed")).status_code == 302
    assert [str(row) for row in Child.objects.all()] == ["Zo\u00eb Changed"]


def test_the_pages_of_a_family_and_of_an_account_clean_them_too(office):
    household = create_household(children=1)
    guardian, child = household.guardians.get(), household.children.get()
    create_contact(child=child)
    form = {"name": "Garci\u0301a\nfamily"}
    for prefix in ("guardians", "children"):
        form |= {f"{prefix}-TOTAL_FORMS": 1, f"{prefix}-INITIAL_FORMS": 1}
    form |= {"guardians-0-id": guardian.pk, "guardians-0-household": household.pk}
    form |= {"guardians-0-email": guardian.email, "guardians-0-is_active": "on"}
    form |= {"guardians-0-first_name": "Pa\u0301t", "guardians-0-last_name": "A\nB"}
    form |= {"children-0-id": child.pk, "children-0-household": household.pk}
    form |= {"children-0-first_name": "Ki\u0301m", "children-0-last_name": "C\rD"}
    form |= {"children-0-born_on": child.born_on}

    page = reverse("admin:enrollments_household_change", args=[household.pk])
    assert office.post(page, form).status_code == 302

    for row in (household, guardian, child):
        row.refresh_from_db()
    assert [household.name, str(guardian), str(child)] == [
        "Garc\u00eda family",
        "P\u00e1t A B",
        "K\u00edm C D",
    ]
