"""Addresses in bulk: `reverse` takes longer than everything else in an email about an installment."""

import uuid
from functools import lru_cache

from django.urls import reverse

_HOLE = str(uuid.UUID(int=0))  # every converter takes it


fixed_path = lru_cache(reverse)
"""Of a page without arguments."""


def path_to(name: str, key: object) -> str:
    """`reverse(name, args=[key])` for a UUID or a signed token, which need no quoting."""
    return _pattern(name).replace(_HOLE, str(key))


@lru_cache
def _pattern(name: str) -> str:
    return reverse(name, args=[_HOLE])
