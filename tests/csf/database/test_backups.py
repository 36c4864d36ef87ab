"""A backup is restored by the commands, into a database beside the one that it was made from."""

import re
import stat
import subprocess
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection

from billing.models import Payment
from csf.database import backups
from csf.models import Cluster, Instance
from tests.conftest import ADDRESS, DATABASE
from tests.restored import other_database
from tests.shop import Shop, accept, order_with_plan

pytestmark = pytest.mark.usefixtures("committed_db")


def run(command, *arguments, **options):
    out = StringIO()
    call_command(command, *arguments, stdout=out, **options)
    return out.getvalue()


def contents():
    """Each table's rows, as one hash a table; the quarantine and the workers of then are left out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        names = [name for (name,) in cursor.fetchall() if name not in {"csf_instance", "csf_cluster"}]
        hashes = {}
        for name in names:
            cursor.execute(f"SELECT count(*), md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {name} t")
            hashes[name] = cursor.fetchone()
    return hashes


@pytest.fixture
def backup(committed_db, stripe_server, tmp_path):
    """Of an installation with a paid first part, and an email for it."""
    Instance.begin()
    Cluster.objects.create(name="harbour", queue="csf", host="harbour", pid=1)
    accept()
    order_with_plan(Shop(stripe_server))
    file = tmp_path / "csf.dump"
    said = run("backup", file)
    assert DATABASE in said
    assert re.search(r" 1  billing_payment\n", said)
    return file


def test_what_was_backed_up_is_restored_whole_and_rests(backup):
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    original = contents()

    with other_database():
        said = run("restore", backup)

        assert contents() == original
        assert Instance.why_quarantined().startswith("in quarantine since")
        assert not Cluster.objects.exists()
        with pytest.raises(DatabaseError):  # the guards came too
            Payment.objects.all().delete()
    assert re.search(r" 1  billing_payment\n", said)
    assert "in quarantine since" in said


def test_rows_are_counted_in_the_snapshot_that_is_dumped(backup, tmp_path, monkeypatch):
    real = backups._run

    def while_the_site_goes_on(program, *arguments):
        if program == "pg_dump":
            in_another_connection("INSERT INTO csf_formpress (key) VALUES ('x')")
        return real(program, *arguments)

    monkeypatch.setattr(backups, "_run", while_the_site_goes_on)
    rows = backups.back_up(tmp_path / "later.dump")

    with other_database():
        assert backups.restore(tmp_path / "later.dump") == rows | {"csf_cluster": 0}
        assert rows["csf_formpress"] == 0


def test_without_an_installation_there_is_no_backup(committed_db, tmp_path):
    with other_database(), pytest.raises(CommandError, match="contains no installation"):
        run("backup", tmp_path / "empty.dump")

    assert not list(tmp_path.iterdir())


def test_what_is_in_use_is_not_written_over(backup):
    before = contents()

    with pytest.raises(CommandError, match=r"is not empty: it has [0-9]+ tables\. Create an empty database"):
        run("restore", backup)
    with pytest.raises(CommandError, match="already exists"):
        run("backup", backup)

    assert contents() == before


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_half_a_backup_restores_nothing(backup, share):
    whole = backup.read_bytes()
    backup.write_bytes(whole[: int(len(whole) * share)])

    with other_database():
        with pytest.raises(CommandError, match="Nothing was restored"):
            run("restore", backup)

        assert is_empty()


def test_a_restore_that_is_killed_leaves_nothing(backup, monkeypatch):
    """At the last moment: every row is read, and only the quarantine is missing."""
    monkeypatch.setattr(backups, "QUARANTINE", "SELECT 1 / 0;")

    with other_database():
        with pytest.raises(CommandError, match="division by zero"):
            run("restore", backup)

        assert is_empty()


def test_the_password_stands_in_no_command_line(backup, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setitem(connection.settings_dict, "PASSWORD", "canary-password")
    connection.close()
    real = subprocess.run
    monkeypatch.setattr(
        subprocess,
        "run",
        lambda command, **options: seen.append((command, options)) or real(command, **options),
    )

    run("backup", tmp_path / "second.dump")

    assert [options["env"]["PGPASSWORD"] for _, options in seen] == ["canary-password"] * 2
    assert "canary" not in str([command for command, _ in seen])


def test_a_folder_keeps_the_newest(backup, tmp_path):
    folder = tmp_path / "backups"
    folder.mkdir()
    for day in range(1, 5):
        (folder / f"local-2026010{day}T030000Z.dump").touch()
    (folder / "notes.txt").touch()

    said = run("backup", folder, keep=2)

    kept = sorted(path.name for path in folder.iterdir())
    assert kept[0] == "local-20260104T030000Z.dump"
    assert kept[2:] == ["notes.txt"]
    assert "older backups deleted=3" in said


def test_a_failed_backup_deletes_none_of_the_older(committed_db, tmp_path):
    older = tmp_path / "local-20260101T030000Z.dump"
    older.touch()

    with other_database(), pytest.raises(CommandError):
        run("backup", tmp_path, keep=1)

    assert list(tmp_path.iterdir()) == [older]


def test_without_postgresqls_programs_it_says_what_to_install(backup, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(CommandError, match="pg_dump is missing: install PostgreSQL's client programs"):
        run("backup", tmp_path / "second.dump")


def in_another_connection(statement):
    with psycopg.connect(f"{ADDRESS}/{DATABASE}") as other:
        other.execute(statement)


def is_empty():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return cursor.fetchone() == (0,)
