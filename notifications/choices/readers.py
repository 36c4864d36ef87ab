"""Who of a family reads its emails: the guardian who leads it, and each other one who wants copies."""

import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from enrollments.models import Household, User
from notifications.models import EmailPreference

NEVER = Value(datetime.datetime.min.replace(tzinfo=datetime.UTC))


def readers() -> QuerySet[User]:
    """Of all families, each one's lead first. Nobody who was shut out reads anything."""
    return _active().filter(_leads() | _has_copies()).order_by(F("since").desc(), "pk")


def other_guardians(household: Household) -> QuerySet[User]:
    """All but the lead, with `gets_copies`."""
    others = _active().filter(~_leads(), household=household).order_by("pk")
    return others.annotate(gets_copies=_has_copies())


def leads(user: User) -> bool:
    """Whether they get the family's emails whatever they choose."""
    return user.household_id is not None and _active().filter(_leads(), pk=user.pk).exists()


def _active() -> QuerySet[User]:
    return User.objects.filter(is_active=True).alias(since=Coalesce("leads_since", NEVER))


def _leads() -> Combinable:
    """The same order as `LEAD_FIRST`, as a condition that PostgreSQL reads once for all families."""
    before = Q(since__gt=OuterRef("since")) | Q(since=OuterRef("since"), pk__lt=OuterRef("pk"))
    return ~Exists(_active().filter(before, household=OuterRef("household")))


def _has_copies() -> Exists:
    copies = EmailPreference.objects.filter(user=OuterRef("pk"), choice=EmailPreference.COPIES, is_on=True)
    return Exists(copies)
