from csf.jobs import enqueue
from notifications.drain import drain as send_due
from notifications.settle import recover_lost, resolve_unknown


def drain() -> None:
    send_due()


def sweep_emails() -> None:
    """Each minute: repair what lost drains left, and wake a drain whether or not one was signalled."""
    try:
        recover_lost()
        resolve_unknown()
    finally:
        enqueue("notifications.tasks.drain")
