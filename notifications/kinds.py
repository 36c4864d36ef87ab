"""What the kinds of email are called. Rows know a kind by its name; the registry tells its title."""

from django.utils.functional import Promise

TITLES: dict[str, str | Promise] = {}


def choices() -> list[tuple[str, str | Promise]]:
    return list(TITLES.items())


def title_of(kind: str) -> str:
    return str(TITLES.get(kind, kind))
