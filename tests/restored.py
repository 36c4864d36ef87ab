"""A second database, for what was backed up to be restored into."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections

from demo.embedded import create_database, drop_database
from tests.conftest import ADDRESS, DATABASE

OTHER = f"{DATABASE}_restored"


@contextmanager
def other_database(*, like: str = "template0") -> Iterator[None]:
    """The settings name an empty database, or a copy of one, for this process and those that it starts."""
    connections.close_all()  # what is connected to cannot be copied
    drop_database(ADDRESS, OTHER)
    create_database(ADDRESS, OTHER, template=like)
    _use(OTHER)
    try:
        yield
    finally:
        _use(DATABASE)
        drop_database(ADDRESS, OTHER)


def _use(database: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = database
    os.environ["DATABASE_URL"] = f"{ADDRESS}/{database}"
