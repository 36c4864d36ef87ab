"""The readers of a family's emails: the lead guardian, and each other guardian who wants copies."""

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from enrollments.models import LEAD_FIRST, Household, User
from notifications.models import EmailPreference


def readers() -> QuerySet[User]:
    """Of all families, each one's lead first. A guardian without access reads nothing."""
    return _active().filter(_leads() | _has_copies()).order_by(*LEAD_FIRST)


def other_guardians(household: Household) -> QuerySet[User]:
    """All but the lead, with `gets_copies`."""
    others = _active().filter(~_leads(), household=household).order_by("pk")
    return others.annotate(gets_copies=_has_copies())


def leads(user: User) -> bool:
    """Whether they get the family's emails regardless of their choice."""
    return user.household_id is not None and _active().filter(_leads(), pk=user.pk).exists()


def _active() -> QuerySet[User]:
    return User.objects.filter(is_active=True)


def _leads() -> Q:
    """Of each family the first in the order of `LEAD_FIRST`."""
    family = User.objects.filter(household=OuterRef("household"), is_active=True)
    return Q(pk=Subquery(family.order_by(*LEAD_FIRST).values("pk")[:1]))


def _has_copies() -> Q:
    copies = EmailPreference.objects.filter(user=OuterRef("pk"), choice=EmailPreference.COPIES, is_on=True)
    return Q(Exists(copies))
