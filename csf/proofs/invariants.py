"""What must hold between the rows at any moment; `manage.py check_invariants` says where it does not.

Each app that has such rules lists them in `<app>/invariants` as INVARIANTS. The database's own constraints
are checked again, because a restore or a repair by hand may have broken them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import connection, models, transaction
from django.utils.module_loading import import_string, module_has_submodule

from csf.models import Instance, StaffTask
from csf.state import StatefulModel

MOST_IDS = 20


@dataclass(frozen=True)
class Invariant:
    number: str
    """Its name in the documentation, like M4; one number may stand for several rules of a kind."""
    broken: str
    """What is wrong with the rows that are found."""
    find: Callable[[], Iterable[Any]]
    """The ids of the rows that break it."""
    find_since: Callable[[datetime], Iterable[Any]] | None = None
    """The same, only among what was touched since then: for tables that grow with the years."""


@dataclass(frozen=True)
class Violation:
    number: str
    broken: str
    ids: list[Any]

    def __str__(self) -> str:
        shown = ", ".join(str(found) for found in self.ids[:MOST_IDS])
        more = f" and {len(self.ids) - MOST_IDS} more" if len(self.ids) > MOST_IDS else ""
        return f"{self.number} {self.broken}: {shown}{more}"

    def as_json(self) -> dict[str, Any]:
        """For the record: ids and a count, however many there are."""
        ids = [found if isinstance(found, int) else str(found) for found in self.ids[:MOST_IDS]]
        return {"number": self.number, "broken": self.broken, "count": len(self.ids), "ids": ids}


def violations(since: datetime | None = None) -> list[Violation]:
    """Check everything in one consistent, read-only snapshot; with `since`, large tables only as far as they
    have changed from then on."""
    with transaction.atomic():
        read_one_snapshot()
        looked = [look(invariant, since) for invariant in registered()]
    return [found for found in looked if found]


def look(invariant: Invariant, since: datetime | None) -> Violation | None:
    narrow = invariant.find_since
    ids = list(narrow(since) if since and narrow else invariant.find())
    return Violation(invariant.number, invariant.broken, ids) if ids else None


def read_one_snapshot() -> None:
    """First in a transaction. Inside a test's own transaction the level is given already."""
    if not connection.savepoint_ids:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def registered() -> Iterator[Invariant]:
    for config in apps.get_app_configs():
        if config.module and module_has_submodule(config.module, "invariants") and config.name != "csf":
            yield from import_string(f"{config.name}.invariants.INVARIANTS")


def pks(rows: Any) -> Any:
    """The ids of these rows, without reading the rows."""
    return rows.order_by("pk").values_list("pk", flat=True)


def with_task(*kinds: str) -> list[int]:
    """The ids of the rows that staff have or had a task for."""
    tasks = StaffTask.objects.filter(kind__in=kinds, subject__contains=":")
    return [int(subject.rpartition(":")[2]) for subject in tasks.values_list("subject", flat=True)]


def twice(model: Any, *fields: str, since: datetime | None = None) -> Iterator[str]:
    """Values that several rows of a table have, although only one may. The database refuses them; this sees
    that it still does. With `since` only values of rows that were written from then on."""
    rows = model.objects.exclude(**{f"{fields[0]}__isnull": True}).order_by()
    if since:
        written = model.objects.filter(pk__gt=last_before(model, since))
        rows = rows.filter(**{f"{fields[0]}__in": written.values(fields[0])})
    for found in rows.values(*fields).annotate(rows=models.Count("pk")).filter(rows__gt=1):
        yield f"{model._meta.model_name} {' '.join(str(found[field]) for field in fields)}"


def quarantined_since() -> datetime | None:
    """Since when nothing may leave; work in progress at that moment had its lease to finish."""
    return Instance.objects.values_list("quarantined_at", flat=True).first()


def unguarded_tables() -> list[str]:
    facts = {model._meta.db_table for model in apps.get_models() if getattr(model, "IS_APPEND_ONLY", False)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger "
            "WHERE tgname = 'csf_append_only' AND tgenabled = 'O'"
        )
        return sorted(facts - {table for (table,) in cursor.fetchall()})


def last_before(model: type[models.Model], since: datetime | None, *, at: str = "created_at") -> int:
    """The id after which the rows of a table were written since then. Ids follow time closely enough, because
    proofs overlap by an hour. It searches from the end, so it costs only as much as was written since."""
    if since is None:
        return 0
    older = model._default_manager.filter(**{f"{at}__lt": since}).order_by("-pk")
    return older.values_list("pk", flat=True).first() or 0


def legal(
    model: type[StatefulModel], born: str
) -> tuple[Callable[[], list[int]], Callable[[datetime], list[int]]]:
    """The two questions of an invariant about the states of a model whose rows begin in one of `born`."""
    first = born.split()
    return (lambda: _illegal_states(model, first)), (lambda since: _illegal_states(model, first, since))


def _illegal_states(
    model: type[StatefulModel], born: Collection[str], since: datetime | None = None
) -> list[int]:
    """Rows whose status is not that of their last transition, that have a transition which is not allowed or
    does not follow the one before, or that have none and yet are in a state in which no row begins."""
    history: Any = model.transitions.rel.related_model
    moves = [f"{before}>{after}" for before, targets in model.EDGES.items() for after in targets]
    is_dated = any(field.name == "created_at" for field in model._meta.concrete_fields)
    with connection.cursor() as cursor:
        cursor.execute(
            _ILLEGAL.format(
                table=model._meta.db_table, history=history._meta.db_table, key=f"{model._meta.model_name}_id"
            ),
            {
                "moves": moves,
                "born": list(born),
                "mark": last_before(history, since),
                "born_mark": last_before(model, since) if is_dated else 0,
            },
        )
        return [row_id for (row_id,) in cursor.fetchall()]


# Names of tables and columns are filled in; values are parameters.
_ILLEGAL = """
WITH touched AS (
    SELECT DISTINCT {key} FROM {history} WHERE id > %(mark)s
), moves AS (
    SELECT {key} AS row_id, from_status, to_status,
        lag(to_status) OVER told AS before, lead(id) OVER told IS NULL AS is_last
    FROM {history} WHERE %(mark)s = 0 OR {key} IN (SELECT {key} FROM touched)
    WINDOW told AS (PARTITION BY {key} ORDER BY id)
)
SELECT row_id FROM moves JOIN {table} AS stands ON stands.id = row_id
WHERE from_status || '>' || to_status <> ALL(%(moves)s)
    OR before <> from_status
    OR before IS NULL AND from_status <> ALL(%(born)s)
    OR is_last AND to_status <> stands.status
UNION
SELECT id FROM {table} AS stands WHERE id > %(born_mark)s AND status <> ALL(%(born)s)
    AND NOT EXISTS (SELECT FROM {history} WHERE {key} = stands.id)
ORDER BY 1
"""
