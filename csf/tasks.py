from django.utils import timezone

from csf import proofs
from csf.jobs import enqueue
from csf.models import Canary
from csf.staff_tasks import close_settled


def canary() -> None:
    Canary.sing()


def close_settled_tasks() -> None:
    close_settled()


def prove() -> None:
    if proofs.prove(now=timezone.now()):
        enqueue("csf.tasks.prove")
