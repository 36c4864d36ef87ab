"""What must hold between the rows at any moment; `manage.py check_invariants` says where it does not.

Each app that has such rules lists them in `<app>/invariants.py` as INVARIANTS.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.utils.module_loading import import_string, module_has_submodule

from csf.state import StatefulModel

MOST_IDS = 20


@dataclass(frozen=True)
class Invariant:
    number: str
    """Its name in the documentation, like M4."""
    broken: str
    """What is wrong with the rows that are found."""
    find: Callable[[], Iterable[Any]]
    """The ids of the rows that break it."""


@dataclass(frozen=True)
class Violation:
    number: str
    broken: str
    ids: list[Any]

    def __str__(self) -> str:
        shown = ", ".join(str(found) for found in self.ids[:MOST_IDS])
        more = f" and {len(self.ids) - MOST_IDS} more" if len(self.ids) > MOST_IDS else ""
        return f"{self.number} {self.broken}: {shown}{more}"


def violations() -> list[Violation]:
    """Look at everything in one consistent snapshot that cannot write."""
    with transaction.atomic():
        if not connection.savepoint_ids:  # inside a test's own transaction the level is given already
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        looked = [(invariant, list(invariant.find())) for invariant in registered()]
    return [Violation(invariant.number, invariant.broken, ids) for invariant, ids in looked if ids]


def registered() -> Iterator[Invariant]:
    for config in apps.get_app_configs():
        if config.module and module_has_submodule(config.module, "invariants") and config.name != "csf":
            yield from import_string(f"{config.name}.invariants.INVARIANTS")


def illegal_states(model: type[StatefulModel]) -> Iterator[Any]:
    """Rows whose status is not that of their last transition, or that made a move which does not exist."""
    parent = model._meta.model_name
    history: Any = model.transitions.rel.related_model
    last: dict[int, str] = {}
    for row_id, before, after in history.objects.order_by("pk").values_list(
        f"{parent}_id", "from_status", "to_status"
    ):
        if after not in model.EDGES.get(before, frozenset()) or last.get(row_id, before) != before:
            yield row_id
        last[row_id] = after
    rows: models.QuerySet[Any] = model._default_manager.filter(pk__in=last)
    for row_id, status in rows.values_list("pk", "status"):
        if last[row_id] != status:
            yield row_id
