import datetime

from django.db import models
from django.db.models import Case, F, Q, When

from csf.clock import Now


class Breaker(models.Model):
    """Whether an outside service answers, shared by all processes: how often in a row it did not."""

    REST = datetime.timedelta(seconds=20)
    FORGOTTEN_AFTER = datetime.timedelta(minutes=10)  # failures so far apart are not "in a row"

    name = models.CharField(max_length=60, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    open_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.failures} failures"

    @classmethod
    def is_tripped(cls, name: str, *, after: int) -> bool:
        return cls.objects.filter(name=name, failures__gte=after).exists()

    @classmethod
    def may_probe(cls, name: str) -> bool:
        """Whether its rest is over; true for one caller, then a new rest begins."""
        rested = cls.objects.filter(name=name, open_until__lte=Now())
        return bool(rested.update(open_until=Now() + cls.REST))

    @classmethod
    def failed(cls, name: str) -> None:
        Breaker.objects.bulk_create([Breaker(name=name)], ignore_conflicts=True)
        is_old = Q(open_until__lt=Now() - cls.FORGOTTEN_AFTER)
        failures = Case(When(is_old, then=1), default=F("failures") + 1)
        cls.objects.filter(name=name).update(failures=failures, open_until=Now() + cls.REST)

    @classmethod
    def answered(cls, name: str) -> None:
        cls.objects.filter(name=name, failures__gt=0).update(failures=0)
