"""Families with places in a class, and a message to them."""

from datetime import timedelta

from django.utils import timezone

from enrollments.models import Enrollment
from notifications.by_staff.broadcast import reach_of, send
from notifications.models import FamilyMessage
from tests.factories import create_child, create_household, create_staff

WORDS = {"kind": "class_message", "subject": "Bring a towel", "body": "See you on Saturday."}


def enroll(course, *, status="active", household=None, name="Garcia"):
    """A child in that class; gives the family."""
    household = household or create_household(name=name)
    child = create_child(household=household)
    place(child, course, status)
    return household


def place(child, course, status):
    fields = {}
    if status in {"held", "offered", "active"}:
        taken = course.enrollments.exclude(seat_number=None).count()
        fields["seat_number"] = taken + 1
    if status in {"held", "offered"}:
        fields["expires_at"] = timezone.now() + timedelta(hours=1)
    if status in {"waitlisted", "offered"}:
        fields |= {"tier": "regular", "joined_at": timezone.now()}
    return Enrollment.objects.create(child=child, course=course, status=status, **fields)


def message_to(*courses, seats=("active",), kind="class_message", **audience):
    audience = {
        "courses": [course.pk for course in courses],
        "program": None,
        "seats": list(seats),
    } | audience
    return FamilyMessage.objects.create(**WORDS | {"kind": kind}, audience=audience, by=create_staff())


FORM = "/admin/message_families/"


def send_now(message):
    send(message=message, by=message.by, fingerprint=reach_of(message).fingerprint)
