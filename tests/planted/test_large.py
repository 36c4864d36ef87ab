"""What the proof of a night costs a school that has grown for years. Run it alone, for it fills gigabytes:
`bin/test -n 0 -s -m chaos tests/planted/test_large.py`; CSF_PAYMENTS says how large."""

import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.db import connection, models
from django.utils import timezone

from billing.models import Payment
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from tests.bench.measure import postmaster_pid, tree_cpu_s
from tests.conftest import ROOT
from tests.planted.school import _paid

PAYMENTS = int(os.environ.get("CSF_PAYMENTS", "200000"))
RECENT_S, RECENT_MB = 10.0, 150.0
OLDEST_DAYS, LATE_SHARE = 80, 0.001  # younger than the purge; a thousandth was written since the proof before
OURS = ["enrollments", "orders", "billing", "notifications"]
SHARED = {"PaymentPlan", "Program", "Location", "DrainSignal"}
MADE_UNIQUE = {"to", "email"}
AGES = {"created_at", "posted_at"}


def copied_models():
    found = [model for app in OURS for model in apps.get_app_config(app).get_models()]
    return [
        model
        for model in [*found, EmailAddress]
        if model.__name__ not in SHARED and not model._meta.auto_created
    ]


def multiply(times):
    """Every row of a school that the product has made, as often; each copy a little younger than the one
    before. Keys to rows of the same copy move along."""
    wanted = set(copied_models())
    apart = 1 + max(
        model.objects.order_by("-pk").values_list("pk", flat=True).first() or 0 for model in wanted
    )
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # neither triggers nor foreign keys
        for model in wanted:
            fields = {
                f'"{field.column}"': value_of(field, wanted, apart, times)
                for field in model._meta.concrete_fields
            }
            table, columns, values = model._meta.db_table, ", ".join(fields), ", ".join(fields.values())
            cursor.execute(
                f"INSERT INTO {table} ({columns}) SELECT {values} "
                f"FROM {table} CROSS JOIN generate_series(1, {times - 1}) AS copy ORDER BY copy"
            )
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE")


def value_of(field, wanted, apart, times):
    column = f'"{field.column}"'
    if field.primary_key or field.related_model in wanted or field.name == "fact_id":
        return f"{column} + copy * {apart}"
    if isinstance(field, models.UUIDField):
        return "gen_random_uuid()"
    if field.name == "number" and isinstance(field, models.CharField):
        return f"lpad(to_hex(id + copy * {apart}), 8, '0')"
    if isinstance(field, models.CharField) and (field.unique or field.name in MADE_UNIQUE):
        return f"copy || '-' || {column}"
    if field.name in AGES:
        days = f"{OLDEST_DAYS} * greatest(0, {(1 - LATE_SHARE) * times} - copy) / {times}"
        late = f"CASE WHEN copy < {(1 - LATE_SHARE) * times} THEN 2 ELSE 0 END"
        return f"{column} - make_interval(hours => (24 * ({days} + {late}))::int)"
    return column


def proved(*arguments):
    """CPU seconds of the command and of PostgreSQL, and the most memory that the command had."""
    database = postmaster_pid()
    db_before = tree_cpu_s(database)
    command = [sys.executable, "manage.py", "check_invariants", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    ended, peak_kb = 0, 0
    while not ended:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        peak_kb = max(peak_kb, high_water_kb(process.pid))
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    with process.stdout as said:
        assert (process.returncode, said.read()) == (0, "all invariants hold\n")
    return usage.ru_utime + usage.ru_stime, tree_cpu_s(database) - db_before, peak_kb / 1000


def high_water_kb(pid):
    """The most memory so far; `ru_maxrss` also counts the process that it was started from."""
    with suppress(FileNotFoundError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) if found else 0
    return 0


@pytest.mark.chaos
def test_the_proof_of_a_night_is_cheap_however_old_the_school_is(committed_db, shop, mail_server):
    _paid(shop)
    drain()
    multiply(PAYMENTS // 2)

    lately = timezone.now() - timedelta(days=1)
    recent_s, recent_db_s, recent_mb = proved("--since", lately.isoformat())
    rows = f"{Payment.objects.count()} payments, {EmailMessage.objects.count()} emails"
    sys.stdout.write(f"\n{rows}: recent {recent_s:.1f} + {recent_db_s:.1f} CPU s, {recent_mb:.0f} MB\n")
    full_s, full_db_s, full_mb = proved()
    sys.stdout.write(f"{rows}: full {full_s:.1f} + {full_db_s:.1f} CPU s, {full_mb:.0f} MB\n")

    assert recent_s + recent_db_s < RECENT_S
    assert recent_mb < RECENT_MB
