"""One file that holds the whole database, and a database made from one.

pg_dump, pg_restore and psql do it, those on PATH. A backup counts only after it was read again. A restored
database is in quarantine from its first moment, because the installation that it comes from has continued to
act outside.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryFile

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import pq, sql

from csf.refusal import NotPossible

PROOF = "csf_instance"
"""The table whose one row each database in use has."""
# And nobody should be alerted about the missing workers of the lost installation.
QUARANTINE = (
    "UPDATE public.csf_instance SET quarantined_at = coalesce(quarantined_at, statement_timestamp());"
    "DELETE FROM public.csf_cluster;"
)
TIMEOUT_S = 3600
# The role that restores owns everything: it may have another name than the one in production.
NOBODYS = ("--no-owner", "--no-privileges")
RowsByTable = dict[str, int]


def database_text() -> str:
    """Which database the settings name, without its password."""
    given = connection.settings_dict
    return f"{given['NAME']} on {given['HOST'] or 'this host'}"


def back_up(file: Path) -> RowsByTable:
    """Write the database to a new file that only its owner can read, and return the rows that it contains.

    A file that could not be written completely is removed. Raises NotPossible.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    try:
        if file.exists():
            raise NotPossible(f"{file} already exists.")
        unfinished.touch(mode=0o600)
        rows = _dump(unfinished)
        if _tables_in(unfinished) != set(rows):
            raise NotPossible("The file does not contain every table of the database.")
        unfinished.rename(file)
    except OSError as error:
        raise NotPossible(f"Cannot write {file}: {error.strerror}.") from error
    finally:
        with suppress(PermissionError):
            unfinished.unlink(missing_ok=True)
    return rows


def _dump(file: Path) -> RowsByTable:
    """Counts the rows in the same snapshot that it dumps, while the site keeps running."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        rows = _rows_by_table(cursor)
        if not rows.get(PROOF):
            raise NotPossible(f"{database_text()} contains no installation. Is DATABASE_URL right?")
        cursor.execute("SELECT pg_export_snapshot()")
        (snapshot,) = cursor.fetchone()
        _run("pg_dump", "--format=custom", *NOBODYS, f"--snapshot={snapshot}", f"--file={file}")
    return rows


def restore(file: Path) -> RowsByTable:
    """Fill the database of the settings, which must be empty, and put it into quarantine: all or nothing.

    Return the rows that it then contains. Raises NotPossible.
    """
    if PROOF not in _tables_in(file):
        raise NotPossible(f"{file} contains no installation.")
    with connection.cursor() as cursor:
        if tables := _rows_by_table(cursor):
            raise NotPossible(
                f"{database_text()} is not empty: it has {len(tables)} tables. Create an empty database "
                "with another name, as described in docs/operations.md, and set DATABASE_URL to it."
            )
    connection.close()
    _load(file)
    with connection.cursor() as cursor:
        return _rows_by_table(cursor)


def text_of(rows: RowsByTable) -> str:
    """For the operator: each table that has rows, and the sum."""
    lines = [f"{number:>12,}  {name}" for name, number in rows.items() if number]
    return "\n".join([*lines, f"{sum(rows.values()):>12,}  rows in all"])


def only_newest(files: Iterable[Path], *, keep: int) -> int:
    """Delete all but the newest, by name, and return how many were deleted."""
    old = sorted(files)[:-keep]
    for file in old:
        file.unlink()
    return len(old)


def _load(file: Path) -> None:
    """The quarantine comes in the transaction that brings the rows: no worker can see one without the
    other. A script that breaks off, with us or without us, is never committed."""
    script = [_program("pg_restore"), "--exit-on-error", *NOBODYS, "--file=-", str(file)]
    client = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    with TemporaryFile() as complaints:
        with (
            suppress(BrokenPipeError),  # psql gave up; it says why
            Popen(script, stdout=PIPE, stderr=complaints) as reading,  # noqa: S603
            Popen(client, stdin=PIPE, stdout=DEVNULL, stderr=complaints, env=_environment()) as writing,  # noqa: S603
        ):
            assert reading.stdout
            assert writing.stdin
            writing.stdin.write(b"BEGIN;\n")
            shutil.copyfileobj(reading.stdout, writing.stdin)
            if reading.wait() == 0:
                writing.stdin.write(f"{QUARANTINE}\nCOMMIT;\n".encode())
        if reading.returncode or writing.returncode:
            complaints.seek(0)
            raise NotPossible(_first_line(complaints.read().decode(errors="replace")))


def _rows_by_table(cursor: CursorWrapper) -> RowsByTable:
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    names = [name for (name,) in cursor.fetchall()]
    rows = {}
    for name in names:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
        (rows[name],) = cursor.fetchone()
    return rows


def _tables_in(file: Path) -> set[str]:
    """The tables whose rows the file contains. Raises NotPossible if it is not a backup."""
    if not os.access(file, os.R_OK):
        raise NotPossible(f"There is no file {file} that this user can read.")
    contents = [line.split() for line in _run("pg_restore", "--list", str(file)).splitlines()]
    return {words[6] for words in contents if words[3:5] == ["TABLE", "DATA"]}


def _run(program: str, *arguments: str) -> str:
    command = [_program(program), *arguments]
    try:
        return subprocess.run(  # noqa: S603
            command, env=_environment(), capture_output=True, check=True, text=True, timeout=TIMEOUT_S
        ).stdout
    except subprocess.CalledProcessError as error:
        raise NotPossible(_first_line(error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise NotPossible(f"{program} took longer than {TIMEOUT_S // 60} minutes.") from error


def _program(name: str) -> str:
    if path := shutil.which(name):
        return path
    raise NotPossible(f"{name} is missing: install PostgreSQL's client programs, in the server's version.")


def _environment() -> dict[str, str]:
    """Where to connect, as libpq reads it: a password must not appear in a command line."""
    connection.ensure_connection()
    info = connection.connection.info
    given = info.get_parameters() | {"password": info.password}
    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in pq.Conninfo.get_defaults()
        if option.envvar and option.keyword != b"options"  # lock timeouts are for pages
    }
    known = {variables[name]: value for name, value in given.items() if value and name in variables}
    return os.environ | known


def _first_line(text: str) -> str:
    """Not the lines after it: they hold the contents of rows."""
    return next(iter(text.strip().splitlines()), "It ended without saying why.")
