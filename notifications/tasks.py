import datetime
from typing import Protocol

from csf import clock
from csf.jobs.queue import enqueue_once
from csf.jobs.report import Report
from csf.jobs.runs import run_job
from csf.jobs.time_budget import is_over
from notifications.daily.class_reminders import send_class_reminders as remind_of_classes
from notifications.daily.overdue import process_overdue_installments as process_overdue
from notifications.daily.reminders import send_card_notices as notify_of_cards
from notifications.daily.reminders import send_installment_reminders as remind
from notifications.purge import purge as purge_old
from notifications.sending.drain import drain as send_due
from notifications.sending.drain import drain_awaited
from notifications.sending.events import fold_events as fold
from notifications.sending.settle import forget_secrets, recover_lost, resolve_unknown
from notifications.watch.alerts import watch


def drain() -> None:
    send_due()


def send_awaited() -> None:
    """By workers of its own; each minute too, as after a try that failed nobody wakes them."""
    drain_awaited()


def fold_events() -> None:
    while fold():
        if is_over():
            enqueue_once("notifications.tasks.fold_events")
            return


def purge() -> None:
    _once_a_day("purge", purge_old)


class _Work(Protocol):
    def __call__(self, *, on: datetime.date) -> Report: ...


def send_installment_reminders() -> None:
    _once_a_day("send_installment_reminders", remind)


def send_card_notices() -> None:
    _once_a_day("send_card_notices", notify_of_cards)


def send_class_reminders() -> None:
    _once_a_day("send_class_reminders", remind_of_classes)


def process_overdue_installments() -> None:
    _once_a_day("process_overdue_installments", process_overdue)


def _once_a_day(job: str, work: _Work) -> None:
    today = clock.today()
    run_job(job, lambda: work(on=today), on=today)


def watch_alerts() -> None:
    watch()


def sweep_emails() -> None:
    """Each minute: repair what lost drains left, and wake a drain whether or not one was signalled."""
    try:
        recover_lost()
        resolve_unknown()
        forget_secrets()
        fold_events()
    finally:
        enqueue_once("notifications.tasks.drain")
