from csf.models import Canary
from csf.staff_tasks import close_settled


def canary() -> None:
    Canary.sing()


def close_settled_tasks() -> None:
    close_settled()
