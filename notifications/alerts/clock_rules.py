"""Hosts whose clock is not the database's."""

from collections.abc import Iterator
from datetime import timedelta

from csf.models import Cluster
from notifications.alerts.rule import Symptom
from notifications.models import Alert

LIMITS = [(Alert.Level.WARNING, timedelta(seconds=30)), (Alert.Level.PAGE, timedelta(minutes=5))]
WHAT_TO_DO = (
    "Run timedatectl there and on the database's host to see which one is right. Turn on synchronization "
    "(timedatectl set-ntp true) where it is off. What is due follows the database's clock."
)


def clock_symptoms() -> Iterator[Symptom]:
    for host, ahead_s in Cluster.objects.expected().values_list("host", "clock_ahead_s"):
        by = timedelta(seconds=round(abs(ahead_s)))
        words = f"the clock of {host} is {by} {'ahead of' if ahead_s > 0 else 'behind'} the database's"
        for level, limit in LIMITS:
            if by > limit:
                yield Symptom("clock_wrong", level, words, WHAT_TO_DO, host)
