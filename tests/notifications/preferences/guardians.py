"""A second guardian: invited, signed in, and a reader of copies."""

from datetime import date, timedelta

from django.test import Client

from enrollments.models import GuardianInvitation
from notifications.models import EmailMessage
from notifications.preferences.rules import COPIES, choose
from tests.factories import create_guardian

DUE = date(2027, 3, 20)
DAY = timedelta(days=1)
INVITE = "/account/emails/invite/"
NEW = {"first_name": "Robin", "last_name": "Garcia", "email": "Robin@Example.org"}


def reader(household, **fields):
    user = create_guardian(household=household, **fields)
    choose(user, COPIES, is_on=True, origin="page")
    return user


def signed_in(user):
    client = Client()
    client.force_login(user)
    return client


def owed(kind):
    return sorted(EmailMessage.objects.filter(kind=kind).values_list("to", flat=True))


def invited():
    return GuardianInvitation.objects.latest("pk")
