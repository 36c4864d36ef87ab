"""The names of the kinds of email. Rows store a kind's name; the registry has its title."""

from django.utils.functional import Promise

TITLES: dict[str, str | Promise] = {}


def choices() -> list[tuple[str, str | Promise]]:
    return list(TITLES.items())


def title_of(kind: str) -> str:
    return str(TITLES.get(kind, kind))
