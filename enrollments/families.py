"""Who is asking: the household of the signed-in guardian."""

from django.http import Http404, HttpRequest

from enrollments.models import Household, User


def guardian(request: HttpRequest) -> User | None:
    """The signed-in guardian; None for visitors and for staff without a family."""
    user = request.user
    return user if isinstance(user, User) and user.household_id else None


def household_of(request: HttpRequest) -> Household:
    """The set every parent page starts from. 404 for staff without a family."""
    user = guardian(request)
    if user is None or user.household is None:
        raise Http404("no family")
    return user.household
