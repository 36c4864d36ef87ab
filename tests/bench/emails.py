"""From queued rows to mails that the provider has accepted, rendered and stored, through a real cluster."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from django.db import connection, transaction

from enrollments.models import Course
from notifications.models import UNFINISHED, EmailAttempt, EmailMessage, EmailStatus
from notifications.outbox import notify
from orders.models import OrderTransition
from tests.bench import rows
from tests.bench.mail import Mail, mail_stand_in
from tests.bench.measure import Case, measured, wait_until
from tests.bench.surroundings import cluster, fresh_database

COUNT = 2000
ANSWER_MS = [0, 20, 100]
SAMPLE = 50  # bodies that are checked against SendGrid's schema afterwards
WARM_UP = 40


def run(count: int) -> Iterator[Case]:
    for answer_ms in ANSWER_MS:
        with fresh_database():
            yield {"bench": "emails", "case": f"{answer_ms}ms"} | _case(count, answer_ms)


def _case(count: int, answer_ms: int) -> Case:
    with mail_stand_in() as mail, cluster() as pid:
        courses = rows.create_courses(40)
        _owe(_orders(WARM_UP, courses))  # each worker compiles its templates once
        wait_until(_all_done, patience_s=60)
        mail.server.control(latency_ms=answer_ms)
        transitions = _orders(count, courses)
        with measured(pid, starting=lambda: _owe(transitions), apart=mail.process.pid) as meter:
            wait_until(_all_done, patience_s=60 + count / 20, every_s=0.05)
        sendgrid = {"sendgrid_cpu_s_per_1000": round(1000 * meter.apart_cpu_s / count, 2)}
        return meter.figures(count) | sendgrid | _check(mail)


def _orders(count: int, courses: Sequence[Course]) -> list[OrderTransition]:
    transitions = rows.create_orders(rows.create_families(count), courses)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # autovacuum would have, long before
    return transitions


def _owe(transitions: Iterable[OrderTransition]) -> None:
    """All rows appear with one commit, which wakes one drain."""
    with transaction.atomic():
        notify("order_confirmation", transitions)


def _all_done() -> bool:
    # One by one, as the indexes are: scans of the whole table would count as PostgreSQL's work.
    return not any(EmailMessage.objects.filter(status=status).exists() for status in UNFINISHED)


def _check(mail: Mail) -> Case:
    """The stand-in's books against ours."""
    accepted = Counter(
        request["custom_args"]["outbox_id"] for request in mail.server.requests() if request["accepted"]
    )
    owed = {str(key) for key in EmailMessage.objects.values_list("public_id", flat=True)}
    stored = EmailMessage.objects.filter(status=EmailStatus.SENT).exclude(html="").exclude(text="")
    assert stored.count() == len(owed), "an email was not sent, or its text not stored"
    assert EmailAttempt.objects.filter(outcome=EmailAttempt.Outcome.SENT).count() == accepted.total()
    assert not (faults := mail.faults(SAMPLE)), f"SendGrid would refuse this: {faults[0]}"
    return {"lost": len(owed - accepted.keys()), "twice": accepted.total() - len(accepted)}
