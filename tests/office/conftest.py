import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.urls import reverse

from enrollments.models import User


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
