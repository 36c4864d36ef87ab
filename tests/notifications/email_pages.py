"""An email's pages for staff: who may open them, and what they show."""

from django.contrib.auth.models import Permission
from django.urls import reverse

from tests.factories import create_staff
from tests.notifications.outbox_rows import WHY
from tests.staff_pages import act_on, page_of

ALL = ["read", "download", "resend", "withhold", "requeue", "mark_sent", "test"]


def staff_with(client, rights):
    user = create_staff(is_superuser=False, first_name="Olga", last_name="Office")
    names = [f"{right}_emailmessage" for right in ["view", *rights]]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    client.user = user
    return client


def eml_of(row):
    return reverse("admin:notifications_emailmessage_eml", args=[row.pk])


def shown(client, row):
    response = client.get(page_of(row))
    assert response.status_code == 200
    return response.content.decode()


def press(client, row, name, **typed):
    fingerprint = client.get(act_on(row, name)).context["facts"].fingerprint
    return client.post(act_on(row, name), {"fingerprint": fingerprint, "reason": WHY} | typed)
