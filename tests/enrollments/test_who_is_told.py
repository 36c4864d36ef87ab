"""Staff read who gets an email of what they do: the family, or nobody."""

import re

import pytest
from django.urls import reverse

from enrollments.models import Household
from notifications.models import EmailMessage
from tests.factories import create_household, create_staff


@pytest.fixture
def office(client, db):
    client.force_login(create_staff())
    return client


@pytest.mark.parametrize(
    ("has_guardian", "text", "mails"), [(True, "The family is notified", 1), (False, "Nobody is notified", 0)]
)
def test_credit_for_a_family_says_who_is_told(office, has_guardian, text, mails):
    household = create_household()
    household.guardians.update(is_active=has_guardian)
    page = reverse("admin:enrollments_household_act", args=[household.pk, "give-credit"])

    asked = office.get(page)
    seen = re.search(r'name="seen" value="([^"]*)"', asked.text)[1]
    done = office.post(page, {"seen": seen, "cents": "20", "reason": "sorry"}, follow=True)

    assert text in asked.text
    assert f"The credit is given. {text}" in done.text
    assert EmailMessage.objects.filter(kind__contains="credit").count() == mails


def test_a_new_family_needs_a_guardian(office):
    empty = {
        f"{prefix}-{name}": 0
        for prefix in ("guardians", "children")
        for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    page = reverse("admin:enrollments_household_add")

    refused = office.post(page, {"name": "Lopez family"} | empty)
    guardian = {"guardians-TOTAL_FORMS": 1, "guardians-0-email": "lopez@example.org"}
    added = office.post(page, {"name": "Lopez family", "guardians-0-is_active": "on"} | empty | guardian)

    assert "Please submit at least 1 form." in refused.text
    assert added.status_code == 302
    assert Household.objects.get().guardians.get().email == "lopez@example.org"
