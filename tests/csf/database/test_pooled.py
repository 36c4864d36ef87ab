from django.db import connection, transaction

from csf.database import lock_timeout


def current_timeout():
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return cursor.fetchone()[0]


def test_each_transaction_of_a_page_limits_its_waits_and_leaves_nothing_behind(committed_db, settings):
    settings.DB_LOCK_TIMEOUT_MS = 3000
    with connection.execute_wrapper(lock_timeout._first_in_transaction):
        seen = [current_timeout()]
        for _ in range(2):
            with transaction.atomic():
                seen.append(current_timeout())
            seen.append(current_timeout())

    assert seen == ["0", "3s", "0", "3s", "0"]
