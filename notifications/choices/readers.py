"""Who of a family reads its emails: the first guardian, and each other one who wants copies."""

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from enrollments.models import Household, User
from notifications.models import EmailPreference


def readers() -> QuerySet[User]:
    """Of all families; in a family the first guardian leads."""
    earlier = User.objects.filter(household=OuterRef("household"), pk__lt=OuterRef("pk"))
    copies = EmailPreference.objects.filter(user=OuterRef("pk"), choice=EmailPreference.COPIES, is_on=True)
    return User.objects.filter(~Exists(earlier) | Q(Exists(copies), is_active=True)).order_by("pk")


def other_guardians(household: Household) -> QuerySet[User]:
    """All but the first, with `gets_copies`."""
    gets_copies = Q(pk__in=readers().filter(household=household).values("pk"))
    first = household.guardians.order_by("pk")[:1].values("pk")
    others = household.guardians.filter(is_active=True).exclude(pk=Subquery(first)).order_by("pk")
    return others.annotate(gets_copies=gets_copies)


def is_first_guardian(user: User) -> bool:
    """Who gets the family's emails whatever they choose."""
    of_family = User.objects.filter(household=user.household_id)
    return user.household_id is not None and not of_family.filter(pk__lt=user.pk).exists()
