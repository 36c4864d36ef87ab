"""Lists of the admin answer only to the filters that they show.

Django lets everyone who sees a list filter it by any column of the row, so a hidden one can be read letter by
letter (`?secret__startswith=`). And it answers 500 for values that fit no column.
"""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import EmptyFieldListFilter, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import get_fields_from_path
from django.core.exceptions import SuspiciousOperation, ValidationError
from django.db import DataError, models, transaction
from django.http import HttpRequest
from unfold.views import ChangeList

# What a value can raise on its way into a query: NUL, bad patterns, numbers and years that no column holds.
BAD_VALUE = (ValueError, OverflowError, TypeError, ValidationError, DataError)
ROW = ("pk", "pk__exact", "pk__in", "id", "id__exact", "id__in")
CHOICES = ("", "__exact", "__isnull")
DATES = ("__gte", "__lt", "__isnull", "__year", "__month", "__day")


def allowed_lookups(model: type[models.Model], list_filter: Any, date_hierarchy: str | None) -> set[str]:
    """The parameters that the filters beside a list make themselves, and the keys of its rows."""
    found = set(ROW)
    if date_hierarchy:
        found |= {date_hierarchy + suffix for suffix in DATES}
    for item in list_filter:
        found |= set(_lookups_of(model, item))
    return found


def _lookups_of(model: type[models.Model], item: Any) -> Iterator[str]:
    if isinstance(item, type) and issubclass(item, SimpleListFilter):
        yield str(item.parameter_name)
        return
    path, kind = item if isinstance(item, (list, tuple)) else (item, None)
    if kind is EmptyFieldListFilter:
        yield f"{path}__isempty"
        return
    field: Any = get_fields_from_path(model, path)[-1]
    yield from (path + suffix for suffix in CHOICES)
    if isinstance(field, models.DateField):
        yield from (path + suffix for suffix in DATES)
    if field.is_relation:
        yield f"{path}__{field.target_field.name}__exact"


class StrictChangeList(ChangeList):
    """Every parameter that cannot be used leads to `?e=1`, as Django does for some."""

    def get_filters(self, request: HttpRequest) -> Any:
        if any("\0" in value for values in request.GET.lists() for value in values[1]):
            raise IncorrectLookupParameters("NUL")
        try:
            return super().get_filters(request)
        except (*BAD_VALUE, SuspiciousOperation) as error:
            raise IncorrectLookupParameters(str(error)) from error

    def get_results(self, request: HttpRequest) -> None:
        """Read the rows here: once the page is being rendered, it is too late to answer otherwise."""
        try:
            with transaction.atomic():
                super().get_results(request)
                len(self.result_list)
                if not (self.query or self.has_active_filters):
                    self.full_result_count = self.result_count  # all are shown: no offer to show all
        except BAD_VALUE as error:
            raise IncorrectLookupParameters(str(error)) from error
