"""`manage.py prepare`, beside a version that is running."""

import psycopg
import pytest
from django.core.management import CommandError
from django.db import connection, transaction

from csf.database.lock_timeout import lock_waits_limited
from csf.management.commands import prepare
from tests.conftest import ADDRESS, DATABASE


def test_migrations_do_not_wait_for_long_and_are_safe_to_repeat(committed_db, monkeypatch):
    monkeypatch.setattr(prepare, "LOCK_WAIT_MS", 50)
    monkeypatch.setattr(prepare, "TRIES", 2)

    with psycopg.connect(f"{ADDRESS}/{DATABASE}") as worker:
        worker.execute("LOCK TABLE billing_payment IN ROW EXCLUSIVE MODE")  # as while a payment is written
        with pytest.raises(CommandError, match="was in use all the time"):
            prepare._migrate()
    prepare._migrate()


def test_only_a_transaction_gives_up(committed_db):
    """An index that is built concurrently, outside of one, would be left broken."""
    with lock_waits_limited(ms=50):
        seen = [current_timeout()]
        with transaction.atomic():
            seen.append(current_timeout())
    with transaction.atomic():
        seen.append(current_timeout())

    assert seen == ["0", "50ms", "0"]


def current_timeout():
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return cursor.fetchone()[0]
