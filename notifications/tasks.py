from django.utils import timezone

from csf.dates import local_date
from csf.jobs import enqueue
from notifications.drain import drain as send_due
from notifications.events import fold_events as fold
from notifications.purge import forget_old_data
from notifications.settle import forget_secrets, recover_lost, resolve_unknown


def drain() -> None:
    send_due()


def fold_events() -> None:
    while fold():
        pass


def purge() -> None:
    forget_old_data(on=local_date(timezone.now()))


def sweep_emails() -> None:
    """Each minute: repair what lost drains left, and wake a drain whether or not one was signalled."""
    try:
        recover_lost()
        resolve_unknown()
        forget_secrets()
        fold_events()
    finally:
        enqueue("notifications.tasks.drain")
