from csf.jobs.declared import EVERY_MINUTE, scheduled
from csf.jobs.queue import enqueue_once
from csf.jobs.time_budget import is_over
from notifications.alerts.report import watch
from notifications.delivery.events import fold_events as fold
from notifications.sending.drain import drain as send_due
from notifications.sending.drain import drain_awaited
from notifications.sending.results import forget_secrets, recover_lost, resolve_unknown


def drain() -> None:
    send_due()


@scheduled(EVERY_MINUTE, name="send_awaited_emails", is_urgent=True)
def send_awaited() -> None:
    """In workers of its own; also each minute, because nobody wakes them after a failed try."""
    drain_awaited()


def fold_events() -> None:
    while fold():
        if is_over():
            enqueue_once("notifications.tasks.fold_events")
            return


@scheduled(EVERY_MINUTE)
def watch_alerts() -> None:
    watch()


@scheduled(EVERY_MINUTE)
def sweep_emails() -> None:
    """Each minute: repair what lost drains left, and wake a drain, even if none was requested."""
    try:
        recover_lost()
        resolve_unknown()
        forget_secrets()
        fold_events()
    finally:
        enqueue_once("notifications.tasks.drain")
