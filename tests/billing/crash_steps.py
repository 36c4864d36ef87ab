"""The commits and requests of a charge, one by one, and a death at any of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from billing.stripe import gateway


class Killed(BaseException):
    """The worker dies here."""


@dataclass
class Steps:
    """Counts the commits and requests of this thread, and kills at one of them: `at` 0 is before the first,
    1 after it, 2 before the second."""

    at: int = -1
    names: list[str] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.names.append(name)
        point = 2 * len(self.names) - 2
        if self.at == point:
            raise Killed
        yield
        if self.at == point + 1:
            raise Killed

    @contextmanager
    def watched(self) -> Iterator[None]:
        commit, request = DatabaseWrapper._commit, gateway._Client.request

        def watched_commit(wrapper: Any) -> Any:
            try:
                with self.step("commit"):
                    return commit(wrapper)
            except Killed:
                wrapper.connection.rollback()  # as the server does for a client that is gone
                raise

        def watched_request(client: Any, method: str, url: str, *args: Any, **options: Any) -> Any:
            with self.step(f"{method} {url.rpartition('/')[2]}"):
                return request(client, method, url, *args, **options)

        def watched_statement(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if connection.in_atomic_block or not sql.startswith(("INSERT", "UPDATE", "DELETE")):
                return execute(sql, params, many, context)
            with self.step("commit"):  # a statement on its own
                return execute(sql, params, many, context)

        with pytest.MonkeyPatch.context() as patch, connection.execute_wrapper(watched_statement):
            patch.setattr(DatabaseWrapper, "_commit", watched_commit)
            patch.setattr(gateway._Client, "request", watched_request)
            yield
