"""Whether a migration may run while the last release is at work: it must neither break what that code reads
and writes, nor lock a table for long."""

from collections.abc import Iterator

from django.contrib.postgres import operations as postgres
from django.db import migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field

APPS = ["csf", "enrollments", "orders", "billing", "notifications"]
REASON = "SAFE_BESIDE_LAST_RELEASE"
"""A migration that breaks a rule for good reason says so in an attribute of this name."""
HARMLESS = (
    migrations.CreateModel,
    migrations.AlterModelOptions,
    migrations.AlterModelManagers,
    migrations.AlterModelTableComment,
    migrations.AlterConstraint,  # of what the database never hears of
    migrations.RemoveConstraint,
    migrations.RemoveIndex,
    migrations.RenameIndex,
    postgres.AddIndexConcurrently,
    postgres.AddConstraintNotValid,
    postgres.ValidateConstraint,
)
OUTSIDE = (postgres.AddIndexConcurrently, postgres.RemoveIndexConcurrently, postgres.ValidateConstraint)
USES = "the last release uses it: remove it a release later than the code that does"
INDEX = (
    "building the index locks the table: db_index=False, and AddIndexConcurrently in a migration of its own"
)
CHECK = (
    "it checks every row under a lock, and the last release may write others: AddConstraintNotValid if it "
    "writes none, and ValidateConstraint in the next migration"
)
UNKNOWN = f"nobody knows whether the last release can live with it: say why in {REASON}"
ENDLESS = "`prepare` limits the wait for a lock in transactions only: put it into a migration that is atomic"
# What the database never hears of, and what is compared one by one.
NOT_TYPE = {*Field.non_db_attrs, "default", "auto_now", "auto_now_add"} - {"db_column"}
COMPARED = {"null", "unique", "db_index", "db_default", "max_length"}


def unsafe_migrations(loader: MigrationLoader, released: set[tuple[str, str]]) -> list[str]:
    """A line for each operation of ours since the release that breaks a rule."""
    release = loader.project_state([key for key in loader.graph.nodes if key in released])
    since = [loader.graph.nodes[key] for key in sorted(loader.graph.nodes.keys() - released)]
    return [
        f"{migration.app_label}.{migration.name}, {problem}"
        for migration in since
        if migration.app_label in APPS and not getattr(migration, REASON, "")
        for problem in (
            *problems(migration.operations, migration.app_label, release),
            *_waiting(migration),
        )
    ]


def _waiting(migration: migrations.Migration) -> Iterator[str]:
    for operation in () if migration.atomic else migration.operations:
        if not isinstance(operation, OUTSIDE):
            yield f"{operation.describe()}: {ENDLESS}"


def problems(operations: list[Operation], app: str, release: ProjectState) -> Iterator[str]:
    for operation in operations:
        if isinstance(operation, migrations.SeparateDatabaseAndState):
            yield from problems(operation.database_operations, app, release)
        elif problem := _problem(operation, app, release):
            yield f"{operation.describe()}: {problem}"


def _problem(operation: Operation, app: str, release: ProjectState) -> str:
    if isinstance(operation, HARMLESS):
        return ""
    name = getattr(operation, "model_name", getattr(operation, "old_name", getattr(operation, "name", "")))
    model = release.models.get((app, name.lower()))
    match operation:
        case migrations.RunSQL() | migrations.RunPython():
            return UNKNOWN
        case _ if name and model is None:
            return ""  # the last release does not know the table
        case migrations.AddField():
            return _added(operation.field)
        case migrations.AlterField():
            before = model.fields.get(operation.name)
            return _altered(before, operation.field) if before else ""
        case migrations.RemoveField():
            return USES if operation.name in model.fields else ""
        case migrations.RenameField():
            return USES if operation.old_name in model.fields else ""
        case migrations.DeleteModel() | migrations.RenameModel() | migrations.AlterModelTable():
            return USES
        case migrations.AddIndex():
            return INDEX
        case migrations.AddConstraint():
            return CHECK
    return UNKNOWN


def _added(field: Field) -> str:
    if field.many_to_many:
        return ""  # a table of its own
    if not field.null and field.db_default is NOT_PROVIDED and not field.generated:
        return "the last release cannot add rows any more: give it a db_default"
    return INDEX if field.db_index or field.unique else ""


def _altered(before: Field, after: Field) -> str:
    if before.null and not after.null:
        return "the last release may write NULL: forbid it a release later"
    if before.db_default is not NOT_PROVIDED and after.db_default is NOT_PROVIDED:
        return "the last release leaves the value to the database: keep the db_default"
    if (after.db_index and not before.db_index) or (after.unique and not before.unique):
        return INDEX
    widest, width = (getattr(field, "max_length", None) for field in (after, before))
    if widest is not None and (width is None or widest < width):
        return "the last release may write longer texts"
    return "" if _type(before) == _type(after) else "it changes the type of what the last release writes"


def _type(field: Field) -> object:
    _, path, arguments, options = field.deconstruct()
    return path, arguments, {key: options[key] for key in options.keys() - NOT_TYPE - COMPARED}
