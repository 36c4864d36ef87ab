"""How long a transaction waits for a lock: on pages through PgBouncer, whose connections take no options, and
while migrations run beside pages and workers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

Execute = Callable[[str, Any, bool, dict[str, Any]], Any]


def limit_lock_waits() -> None:
    if settings.PGBOUNCER and settings.DB_LOCK_TIMEOUT_MS:
        connection_created.connect(_limit, dispatch_uid="csf.database.lock_timeout")


@contextmanager
def lock_waits_limited(*, ms: int) -> Iterator[None]:
    """In each transaction of this thread. What runs outside of one waits as long as it must: an index that is
    built concurrently and gives up leaves a broken one behind."""
    with connection.execute_wrapper(partial(_first_in_transaction, ms=ms)):
        yield


def _limit(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if _first_in_transaction not in connection.execute_wrappers:
        connection.execute_wrappers.append(_first_in_transaction)


def _first_in_transaction(
    execute: Execute, sql: str, params: Any, many: bool, context: dict[str, Any], *, ms: int = 0
) -> Any:
    """A lock is waited for in a transaction, except by a lone UPDATE of a row that another one holds."""
    driver = context["connection"].connection
    if context["connection"].in_atomic_block and driver.info.transaction_status == TransactionStatus.IDLE:
        driver.execute(f"SET LOCAL lock_timeout = {ms or settings.DB_LOCK_TIMEOUT_MS}")
    return execute(sql, params, many, context)
