"""What tests of the staff's pages share: who is signed in, where a row's pages are, whole forms."""

import time

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Permission
from django.urls import reverse

from enrollments.models import Program, User
from tests.factories import create_course, create_staff


def office(*codenames):
    clerk = User.objects.create(email="clerk@example.org", is_staff=True)
    EmailAddress.objects.create(user=clerk, email=clerk.email, primary=True, verified=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return clerk


def guardian_rows(household, **changes):
    """The form of the family's page, as it would be sent unchanged but for `changes` of the last guardian."""
    guardians = list(household.guardians.order_by("pk"))
    form = {"name": household.name}
    for prefix, number in [("guardians", len(guardians)), ("children", household.children.count())]:
        form |= {f"{prefix}-TOTAL_FORMS": number, f"{prefix}-INITIAL_FORMS": number}
    for index, user in enumerate(guardians):
        row = {"id": user.pk, "household": household.pk, "email": user.email}
        row |= {"first_name": user.first_name, "last_name": user.last_name, "is_active": "on"}
        row |= changes if user is guardians[-1] else {}
        form |= {f"guardians-{index}-{name}": value for name, value in row.items() if value is not None}
    for index, child in enumerate(household.children.all()):
        row = {"id": child.pk, "household": household.pk, "born_on": child.born_on}
        row |= {"first_name": child.first_name, "last_name": child.last_name}
        form |= {f"children-{index}-{name}": value for name, value in row.items()}
    return form


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


VIEWS = ["view_enrollment", "view_payment", "view_refund", "view_cancellation", "view_order"]


def staff_client(client, *rights):
    user = create_staff(is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=[*VIEWS, *rights]))
    client.force_login(user)
    session = client.session
    signed_in = {"method": "password", "at": time.time(), "email": user.email, "reauthenticated": True}
    session["account_authentication_methods"] = [signed_in]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    client.user = user
    return client


def page_of(row):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def act_on(row, name):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=[row.pk, name])


def press(client, row, name, **typed):
    fingerprint = client.get(act_on(row, name)).context["facts"].fingerprint
    return client.post(
        act_on(row, name), {"fingerprint": fingerprint, "reason": "agreed by phone"} | typed, follow=True
    )
