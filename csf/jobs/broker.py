"""Django-Q2's queue in a table, by the database's clock.

By its own clock, a host that is a day ahead would take tasks that others are working on, and the tasks that
it queues would wait a day for everyone else.
"""

import time
from datetime import timedelta
from typing import Any

from django_q.brokers.orm import ORM
from django_q.conf import Conf

from csf.clock import Now


class Queue(ORM):  # type: ignore[misc] # Django-Q2 brings no types
    def enqueue(self, task: str) -> int:
        row = self.get_connection().create(key=self.list_key or Conf.CLUSTER_NAME, payload=task, lock=Now())
        pk: int = row.pk
        return pk

    def dequeue(self) -> list[tuple[int, str]] | None:
        rows = self.get_connection()
        free = list(rows.filter(key=self.list_key, lock__lt=Now())[: Conf.BULK])
        if not free:
            time.sleep(Conf.POLL)
            return None
        # The cluster that changes the row has the task; any other that saw it changes none.
        return [
            (row.pk, row.payload)
            for row in free
            if rows.filter(pk=row.pk, lock=row.lock).update(lock=self.timeout(row))
        ]

    def timeout(self, task: Any) -> Any:
        return Now() + timedelta(seconds=Conf.RETRY)
