"""Migrations since the last release may run while its code is at work; those of the release never change."""

import re
import subprocess

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import migrations, models
from django.db.migrations import RunPython, RunSQL, SeparateDatabaseAndState
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from csf import __version__
from tests import release
from tests.conftest import ROOT
from tests.migration_rules import CHECK, ENDLESS, INDEX, REASON, UNKNOWN, USES, problems, unsafe_migrations

FIELDS = {
    "id": models.BigAutoField(primary_key=True),
    "name": models.CharField(max_length=50),
    "note": models.TextField(null=True),
    "state": models.CharField(max_length=9, db_default="new"),
}
RELEASE = ProjectState({("csf", "thing"): ModelState("csf", "Thing", list(FIELDS.items()))})


def add(field):
    return migrations.AddField("Thing", "extra", field)


def alter(name, field):
    return migrations.AlterField("Thing", name, field)


def index(kind):
    return kind("Thing", models.Index(fields=["name"], name="thing_name"))


ONE_OF = models.CheckConstraint(condition=models.Q(state__in=["new", "old"]), name="thing_state")
TO_THING = {"to": "csf.Thing", "on_delete": models.PROTECT}
UNSAFE = {
    "NOT NULL with a default of Python's": (add(models.IntegerField(default=0)), "give it a db_default"),
    "reference with an index": (add(models.ForeignKey(null=True, **TO_THING)), INDEX),
    "unique column": (add(models.IntegerField(null=True, unique=True)), INDEX),
    "column removed": (migrations.RemoveField("Thing", "name"), USES),
    "column renamed": (migrations.RenameField("Thing", "name", "title"), USES),
    "table removed": (migrations.DeleteModel("Thing"), USES),
    "table renamed": (migrations.RenameModel("Thing", "Matter"), USES),
    "other table": (migrations.AlterModelTable("Thing", "matter"), USES),
    "NULL forbidden": (alter("note", models.TextField(default="")), "may write NULL"),
    "default lost": (alter("state", models.CharField(max_length=9)), "keep the db_default"),
    "narrower": (alter("name", models.CharField(max_length=20)), "longer texts"),
    "now limited": (alter("note", models.CharField(max_length=99, null=True)), "longer texts"),
    "other type": (alter("name", models.IntegerField()), "changes the type"),
    "other column": (alter("name", models.CharField(max_length=50, db_column="title")), "changes the type"),
    "now unique": (alter("name", models.CharField(max_length=50, unique=True)), INDEX),
    "index": (index(migrations.AddIndex), INDEX),
    "check": (migrations.AddConstraint("Thing", ONE_OF), CHECK),
    "unique": (
        migrations.AddConstraint("Thing", models.UniqueConstraint(fields=["name"], name="thing_name")),
        CHECK,
    ),
    "unique together": (migrations.AlterUniqueTogether("Thing", {("name", "state")}), UNKNOWN),
    "SQL": (RunSQL("DELETE FROM csf_thing"), UNKNOWN),
    "Python": (RunPython(RunPython.noop), UNKNOWN),
    "in the database only": (
        SeparateDatabaseAndState(database_operations=[migrations.RemoveField("Thing", "name")]),
        USES,
    ),
}
NEW = "Matter"  # a table that the last release does not know
SAFE = {
    "new table": migrations.CreateModel(NEW, [("id", models.BigAutoField(primary_key=True))]),
    "column of a new table": migrations.AddField(NEW, "size", models.IntegerField(default=0)),
    "index of a new table": migrations.AddIndex(NEW, models.Index(fields=["id"], name="matter_id")),
    "default of the database's": add(models.IntegerField(db_default=0)),
    "may be NULL": add(models.IntegerField(null=True)),
    "reference without an index": add(models.ForeignKey(null=True, db_index=False, **TO_THING)),
    "many to many": add(models.ManyToManyField("csf.Thing")),
    "wider": alter("name", models.CharField(max_length=80)),
    "unlimited": alter("name", models.CharField(max_length=None)),
    "other words": alter("name", models.CharField("title", max_length=50, blank=True, help_text="Its name.")),
    "NULL allowed": alter("name", models.CharField(max_length=50, null=True)),
    "index beside": index(AddIndexConcurrently),
    "checked for new rows": AddConstraintNotValid("Thing", ONE_OF),
    "column that the release does not use": migrations.RemoveField("Thing", "gone"),
    "forgotten by the code": SeparateDatabaseAndState(
        state_operations=[migrations.RemoveField("Thing", "name")]
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_operation_is_found(name):
    operation, why = UNSAFE[name]

    [found] = problems([operation], "csf", RELEASE)

    assert why in found


@pytest.mark.parametrize("name", SAFE)
def test_a_safe_operation_is_let_through(name):
    assert list(problems([SAFE[name]], "csf", RELEASE)) == []


def test_all_migrations_since_the_last_release_are_safe_beside_it():
    commit = release.last_release()

    assert unsafe_migrations(MigrationLoader(None), release.migrations_of(commit)) == []
    assert release.migrations_edited_since(commit) == []


def test_one_in_an_apps_folder_is_found_unless_it_says_why_it_is_safe():
    loader = MigrationLoader(None)
    released = set(loader.graph.nodes)
    planted = migrations.Migration("9999_planted", "csf")
    planted.operations = [migrations.RemoveField("Instance", "quarantined_at")]
    loader.graph.add_node(("csf", "9999_planted"), planted)

    assert unsafe_migrations(loader, released) == [
        f"csf.9999_planted, Remove field quarantined_at from Instance: {USES}"
    ]
    setattr(planted, REASON, "no code has read it since 0.0.1")
    assert unsafe_migrations(loader, released) == []


def test_what_waits_for_a_lock_does_so_in_a_transaction():
    loader = MigrationLoader(None)
    released = set(loader.graph.nodes)
    planted = migrations.Migration("9999_planted", "csf")
    planted.atomic = False
    planted.operations = [
        AddIndexConcurrently(
            "Instance", models.Index(fields=["quarantined_at"], name="instance_quarantined")
        ),
        migrations.AddField("Instance", "motto", models.TextField(db_default="")),
    ]
    loader.graph.add_node(("csf", "9999_planted"), planted)

    assert unsafe_migrations(loader, released) == [
        f"csf.9999_planted, Add field motto to Instance: {ENDLESS}"
    ]


def git(folder, *arguments):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def history(tmp_path, monkeypatch):
    """A repository whose first commit is a release with one migration, which the second one edits."""
    monkeypatch.setattr(release, "ROOT", tmp_path)
    file = tmp_path / "csf" / "migrations" / "0001_initial.py"
    file.parent.mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    commits = []
    for text in ("first", "edited"):
        file.write_text(text)
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "--quiet", "--message", text)
        commits.append(git(tmp_path, "rev-parse", "HEAD"))
    return commits


def test_the_newest_version_with_a_commit_is_the_last_release(history):
    first, second = history
    changelog = (
        f"# Changelog\n\n## Unreleased\n\n## 0.10.0 (commit {first})\n\n## 0.9.1 (commit {second[:7]})\n"
    )

    assert release.last_release(changelog) == first
    assert release.last_release("# Changelog\n\n## Unreleased\n") == "HEAD"
    assert release.migrations_of(first) == {("csf", "0001_initial")}


def test_the_changelog_names_the_commit_of_each_release():
    """Of the newest one only in the commit after it."""
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## .*", text.replace("## Unreleased\n", ""), re.MULTILINE)

    assert [line for line in headings[1:] if not release.HEADING.fullmatch(line)] == []
    assert headings == [] or re.fullmatch(rf"## {__version__}( \(commit [0-9a-f]{{7,40}}\))?", headings[0])


def test_a_release_that_the_history_lacks_says_what_to_run(history):
    changelog = f"## 0.1.0 (commit {'0' * 40})\n"

    with pytest.raises(LookupError, match=r"0\.1\.0, and the history here .* `git fetch --unshallow`"):
        release.last_release(changelog)


def test_an_edited_migration_of_the_release_is_found(history, tmp_path):
    first, second = history

    assert release.migrations_edited_since(second) == []
    assert release.migrations_edited_since(first) == ["csf/migrations/0001_initial.py"]
    release.unpack(first, tmp_path / "old")
    assert (tmp_path / "old" / "csf" / "migrations" / "0001_initial.py").read_text() == "first"
