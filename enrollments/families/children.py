"""The children of a family, as their parents enter them."""

import datetime
from collections.abc import Iterable, Sequence

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from enrollments.locks import lock_household
from enrollments.models import Child, Course, CourseSession, EmergencyContact, Enrollment, Household

CONTACT_COLUMNS = ["name", "phone", "relationship", "is_primary"]


class AlreadyInFamily(Exception):
    """A child with this name and birthday already exists."""


@transaction.atomic
def save_child(*, child: Child, contacts: Sequence[EmergencyContact], same_for: Iterable[Child] = ()) -> None:
    """Save the child with exactly these contacts, and the same contacts for its siblings in `same_for`.
    Raises AlreadyInFamily.

    The household's lock serializes two clicks, and two open windows.
    """
    family = lock_household(child.household_id)
    if child.is_in_family(family):
        raise AlreadyInFamily
    child.save()
    everyone = [child, *same_for]
    EmergencyContact.objects.filter(child__in=everyone).delete()
    EmergencyContact.objects.bulk_create(
        EmergencyContact(child=one, **{name: getattr(contact, name) for name in CONTACT_COLUMNS})
        for one in everyone
        for contact in contacts
    )


def children_with_classes(household: Household, *, on: datetime.date) -> QuerySet[Child]:
    """Each child with its contacts and, as `places`, its places in classes that are not over, whose sessions
    to come that were cancelled are `course.off`."""
    off = CourseSession.objects.filter(held_on__gte=on, cancelled_at__isnull=False)
    places = Enrollment.objects.live().filter(course__in=Course.objects.current(on)).with_position()
    places = places.select_related("child", "course", "waitlist_consent")
    places = places.prefetch_related(Prefetch("course__sessions", off, to_attr="off"))
    return household.children.prefetch_related(
        "emergency_contacts",
        Prefetch("enrollments", places.order_by("course__starts_on", "pk"), to_attr="places"),
    )
