"""State machines: the edges are data beside each model, and only the functions here write a status.

`transition` and `transition_many` write a history row for each change. `move_rows` is for rows that have no
history of their own: the outbox, the inbox, job runs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeVar, cast

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, models, transaction
from django.db.models.signals import post_save

from csf.clock import Now

Edges = Mapping[str, frozenset[str]]


States = TypeVar("States", bound=models.TextChoices)
_colours: dict[str, str] = {}


def colours(
    *, success: str = "", info: str = "", warning: str = "", danger: str = ""
) -> Callable[[type[States]], type[States]]:
    """Decorator for an enum of states: the color in which staff see each, by value. The others are gray, and
    a word has the same color wherever it is a state."""

    def declare(states: type[States]) -> type[States]:
        for colour, words in {"success": success, "info": info, "warning": warning, "danger": danger}.items():
            for word in words.split():
                if _colours.setdefault(states(word).value, colour) != colour:
                    raise ValueError(f"{word} has two colours")
        return states

    return declare


def colour_of(state: str) -> str:
    return _colours.get(state, "")


class Stale(Exception):
    """Someone else changed the row first, or its status does not allow the change."""


class StatefulModel(models.Model):
    """A model with a `status`, each change of which writes a row in `<Model>Transition`."""

    EDGES: ClassVar[Edges]
    status: Any  # each model declares the field, with its own choices
    transitions: Any

    class Meta:
        abstract = True


class TransitionRow(models.Model):
    """One change of status, written in the same transaction and never changed afterwards.

    Creating these rows triggers emails, so a caller writes the row last, when everything that the email shows
    is in place.
    """

    IS_APPEND_ONLY = True

    from_status = models.CharField(max_length=20)
    to_status = models.CharField(max_length=20)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.from_status} -> {self.to_status}"


class HasEdges(Protocol):
    EDGES: ClassVar[Edges]


def edges(table: Mapping[str, set[str]]) -> Edges:
    """Freeze a table of allowed changes; statuses that only appear as targets are final."""
    targets = set().union(*table.values())
    return {status: frozenset(table.get(status, ())) for status in table.keys() | targets}


def transition(
    obj: StatefulModel, to: str, *, by: AbstractBaseUser | None = None, reason: str = "", **columns: Any
) -> Any:
    """Move `obj` from the status it was read with to `to`, by compare-and-set, and return the transition row.

    `columns` are written in the same UPDATE, for CHECKs that tie them to the status. `by` is None for the
    system. Raises Stale if the edge does not exist or the row has moved meanwhile; then nothing is written.
    """
    if to not in obj.EDGES.get(obj.status, frozenset()):
        raise Stale(f"{obj._meta.label} {obj.pk}: {obj.status} -> {to} is not allowed")
    row = obj.transitions.model(from_status=obj.status, to_status=to, by=by, reason=reason)
    setattr(row, str(obj._meta.model_name), obj)
    with transaction.atomic(savepoint=False):  # Stale leaves nothing to undo
        if _written(obj, row, columns):
            for name, value in {"status": to, **columns}.items():
                setattr(obj, name, value)
            sent = {"created": True, "raw": False, "using": connection.alias, "update_fields": None}
            post_save.send(type(row), instance=row, **sent)
            return row
    raise Stale(f"{obj._meta.label} {obj.pk} is no longer {obj.status}")


def _written(obj: StatefulModel, row: TransitionRow, columns: Mapping[str, Any]) -> bool:
    """Move `obj` and write its `row`, in one statement; False if it has moved meanwhile.

    A charge makes three changes; the model's own UPDATE and INSERT would take twice the CPU.
    """
    new: dict[models.Field[Any, Any], Any] = {
        obj._meta.get_field(name): value  # type: ignore[misc] # none is a reverse relation
        for name, value in {"status": row.to_status, **columns}.items()
    }
    sets = ", ".join(f'"{field.column}" = %s' for field in new)
    values = [field.get_db_prep_save(getattr(value, "pk", value), connection) for field, value in new.items()]
    history, its_fact = row._meta.db_table, f"{obj._meta.model_name}_id"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH moved AS (UPDATE {obj._meta.db_table} SET {sets} "  # noqa: S608 - names of tables and columns
            "WHERE id = %s AND status = %s RETURNING id) "
            f"INSERT INTO {history} ({its_fact}, from_status, to_status, by_id, reason) "
            "SELECT id, %s, %s, %s, %s FROM moved RETURNING id, created_at",
            [*values, obj.pk, obj.status, obj.status, row.to_status, row.by_id, row.reason],
        )
        found = cursor.fetchone()
    if found:
        row.pk, row.created_at = found
        row._state.adding, row._state.db = False, connection.alias
    return bool(found)


def transition_many(rows: Sequence[Any], to: str, *, reason: str, **columns: Any) -> list[Any]:
    """The same change by the system for many rows of one model and one status; return those that changed.

    Three statements. What may not move, or has moved meanwhile, is left out. It sends no signal, so it is
    only for changes that no email is about.
    """
    if not rows or to not in rows[0].EDGES.get(rows[0].status, frozenset()):
        return []
    model, before = type(rows[0]), rows[0].status
    assert {row.status for row in rows} == {before}
    with transaction.atomic():
        found = model._default_manager.filter(pk__in=[row.pk for row in rows], status=before)
        locked = set(found.select_for_update(no_key=True).values_list("pk", flat=True))
        moved = [row for row in rows if row.pk in locked]
        model._default_manager.filter(pk__in=locked).update(status=to, **columns)
        history = model.transitions.rel.related_model
        history.objects.bulk_create(
            history(**{model._meta.model_name: row}, from_status=before, to_status=to, reason=reason)
            for row in moved
        )
    for row in moved:
        row.status = to
        for name, value in columns.items():
            setattr(row, name, value)
    return moved


def move_rows(rows: models.QuerySet[Any], to: str, /, **columns: Any) -> int:
    """Set the status of the rows that have an edge to `to`, in one UPDATE; return how many changed.

    The others stay as they are, `columns` included.
    """
    return rows.filter(status__in=statuses_before(rows.model, to)).update(status=to, **columns)


def statuses_before(model: type[models.Model], to: str) -> list[str]:
    """The statuses with an edge to `to`."""
    return [status for status, targets in cast(HasEdges, model).EDGES.items() if to in targets]
