"""At most so many workers at the same work, over all processes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, connection


@contextmanager
def free_slot(work: int, *, of: int) -> Iterator[int | None]:
    """The number of a free slot, from 0 on; None if all are taken. `work` is a constant that nobody else
    uses.

    A slot is a session lock of the database: it goes with the connection, so a crash frees it.
    """
    with connection.cursor() as cursor:
        for slot in range(of):
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [work, slot])
            if cursor.fetchone()[0]:
                break
        else:
            yield None
            return
    try:
        yield slot
    finally:
        # Without its connection the lock is gone too.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [work, slot])
