"""Prepared statements, for a thread that sends the same few again and again."""

from django.conf import settings
from django.db import connection, connections


def prepare_statements() -> None:
    """PostgreSQL parses each statement of this thread's connection once, and plans it a few times, not each
    time again.

    Not for all connections: a page sends many different statements, few of them twice. Not through PgBouncer,
    where the next statement goes to another connection that has not heard of them.
    """
    if settings.PGBOUNCER:
        return
    mine = connections[connection.alias]
    mine.close()  # it is opened again, with these options
    options = mine.settings_dict["OPTIONS"] | {"server_side_binding": True, "prepare_threshold": 1}
    mine.settings_dict = mine.settings_dict | {"OPTIONS": options}
