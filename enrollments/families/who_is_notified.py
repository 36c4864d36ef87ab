"""For staff, before and after an action that emails families: whether they get it, or which get nothing, and
why."""

from collections.abc import Callable, Collection, Iterable

from enrollments.models import Household

Unreached = Callable[[Collection[int]], dict[int, str]]
ANY_EMAIL = "The family is notified by email."
_ask: list[Unreached] = []


def register_unreached(unreached: Unreached) -> Unreached:
    """Register a function that returns those of the households that no email reaches, with the reason."""
    _ask.append(unreached)
    return unreached


def who_is_notified(household: Household, *, email: str = ANY_EMAIL) -> str:
    """`email` says what the family gets; it is replaced if nobody in it can get anything."""
    why = _unreached([household.pk]).get(household.pk)
    return f"Nobody is notified: {why}" if why else email


def not_notified(households: Iterable[Household]) -> list[str]:
    """For many families: a line for each that gets nothing."""
    by_id = {household.pk: household for household in households}
    return [f"{by_id[pk]}: {why}" for pk, why in sorted(_unreached(by_id.keys()).items())]


def _unreached(household_ids: Collection[int]) -> dict[int, str]:
    return {pk: why for unreached in _ask for pk, why in unreached(household_ids).items()}
