from django.utils import timezone

from csf import proofs
from csf.jobs import enqueue
from csf.models import Canary
from csf.runs import take_up
from csf.staff_tasks import close_settled


def canary() -> None:
    Canary.sing()


def close_settled_tasks() -> None:
    close_settled()


def prove() -> None:
    if proofs.prove(now=timezone.now()):
        enqueue("csf.tasks.prove")


def take_up_jobs() -> None:
    take_up(now=timezone.now())
