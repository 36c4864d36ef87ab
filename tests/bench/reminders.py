"""The daily reminders of installments that are due soon: a run that has to send all of them, then one that
has none to send. Sending is another benchmark, so no cluster runs."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from billing.models import Installment
from csf.dates import local_date
from notifications.daily.reminders import send_installment_reminders
from notifications.models import EmailMessage
from tests.bench.measure import Case, counted_statements, measured
from tests.bench.plans import CHUNK, create_plans, multiply
from tests.bench.surroundings import fresh_database

COUNT = 10_000


def run(count: int) -> Iterator[Case]:
    today = local_date(timezone.now())
    due_on = today + timedelta(days=max(settings.REMINDER_DAYS))
    for wanted in (count, 10 * count):
        copies = max(1, wanted // CHUNK)
        owed = wanted // copies * copies
        with fresh_database():
            create_plans(owed // copies, due_on=due_on)
            multiply(copies)
            for case in (str(owed), f"{owed} again"):
                with measured(os.getpid()) as meter, counted_statements() as statements:
                    report = send_installment_reminders(on=today)
                assert report.done == (0 if case.endswith("again") else owed)
                assert not report.skipped
                yield (
                    {"bench": "reminders", "case": case}
                    | meter.figures(owed)
                    | {
                        "statements": statements.count,
                        "statements_per_1000": round(1000 * statements.count / owed, 1),
                    }
                    | _check()
                )


def _check() -> Case:
    """The emails against the installments."""
    owed = Installment.objects.filter(number=2).values_list("pk", flat=True)
    reminders = EmailMessage.objects.filter(kind="installment_reminder")
    told = Counter(reminders.values_list("fact_id", flat=True))
    return {"lost": len(set(owed) - told.keys()), "twice": told.total() - len(told)}
