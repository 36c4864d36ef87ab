"""Rows under their locks until the transaction ends, freshly read: callers check again.

All take them in one order, so that no two wait for each other: household, courses, orders, installments, each
by id. The `locks` of the apps say how each is found; in tests, locking in another order fails.
"""

from typing import TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

Row = TypeVar("Row", bound=models.Model)


def locked(rows: models.QuerySet[Row]) -> list[Row]:
    return _under_lock(rows.order_by("pk"))


def locked_one(rows: models.QuerySet[Row], pk: int) -> Row:
    """Raises ObjectDoesNotExist."""
    found = _under_lock(rows.filter(pk=pk))
    if not found:
        raise ObjectDoesNotExist(f"{rows.model._meta.label} {pk}")
    return found[0]


def _under_lock(rows: models.QuerySet[Row]) -> list[Row]:
    return list(rows.select_for_update(no_key=True, of=("self",)))
