"""At most so many workers at the same work, over all processes."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper

SILENT_S = 120  # no work in a slot takes as long, since the queue ends every task after 60


@contextmanager
def free_slot(work: int, *, of: int) -> Iterator[int | None]:
    """The number of a free slot, from 0 on; None if all are taken. `work` is a constant that nobody else
    uses.

    A slot is a lock of the database that ends with its transaction, which is open on a connection of its own
    for as long as the work takes. So the end of the process frees it at once, and it works through PgBouncer
    too, where what a session holds would stay behind on a connection that others use. If the whole machine is
    gone and nobody closes its connection, the database does after SILENT_S.
    """
    mine = connection.copy()
    try:
        mine.set_autocommit(False)
        with mine.cursor() as cursor:
            cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{SILENT_S}s'")
            yield next((slot for slot in range(of) if _is_locked(cursor, work, slot)), None)
    finally:
        mine.close()


def _is_locked(cursor: CursorWrapper, work: int, slot: int) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [work, slot])
    return bool(cursor.fetchone()[0])
