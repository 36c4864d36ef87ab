"""The state of the sender as a whole: its wake-up call and gate, and what a person should know."""

import random
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.functions import Coalesce, Greatest

from csf.clock import Now
from csf.models import StaffTask
from notifications.task_kinds import EmailTask


class DrainSignal(models.Model):
    """One row that all drains share.

    `is_pending`: whether a drain task is already on its way, so that a thousand emails wake one worker, not a
    thousand. The rest is the gate: nothing is posted before `closed_until`, and while the provider answers
    nothing (DOWN_AFTER posts in a row) one probe a minute is posted and no email loses a try. `down_since` is
    when the first post after the last answer was not accepted.
    """

    DOWN_AFTER = 10
    PROBE_EVERY_S = 60

    is_pending = models.BooleanField(default=False)
    closed_until = models.DateTimeField(null=True, blank=True)
    down_since = models.DateTimeField(null=True, blank=True)
    unanswered = models.PositiveIntegerField(
        default=0, help_text="Consecutive posts that the provider neither accepted nor refused for good."
    )

    def __str__(self) -> str:
        return "pending" if self.is_pending else "quiet"

    @classmethod
    def is_raised(cls) -> bool:
        return cls.objects.filter(pk=1, is_pending=True).exists()

    @classmethod
    def raise_(cls) -> bool:
        """True for the one caller who has to queue the drain."""
        return bool(cls.objects.filter(pk=1, is_pending=False).update(is_pending=True))

    @classmethod
    def clear(cls) -> bool:
        """True if it was raised."""
        return bool(cls.objects.filter(pk=1, is_pending=True).update(is_pending=False))

    @classmethod
    def gate(cls) -> tuple[float, bool]:
        """Seconds for which nothing may be posted, and whether only a probe may be."""
        wait = ExpressionWrapper(F("closed_until") - Now(), models.DurationField())
        closed_for, unanswered = cls.objects.filter(pk=1).values_list(wait, "unanswered").first() or (None, 0)
        return (closed_for.total_seconds() if closed_for else 0.0), unanswered >= cls.DOWN_AFTER

    @classmethod
    def down_s(cls) -> float:
        """For how many seconds it has accepted nothing."""
        down_for = ExpressionWrapper(Now() - F("down_since"), models.DurationField())
        found = cls.objects.filter(pk=1).values_list(down_for, flat=True).first()
        return found.total_seconds() if found else 0.0

    @classmethod
    def answered(cls) -> None:
        """It accepts email, or refuses one for that email's own fault."""
        was_down = Q(unanswered__gt=0) | Q(down_since__isnull=False)
        cls.objects.filter(was_down, pk=1).update(unanswered=0, down_since=None)

    @classmethod
    def not_answered(cls, posts: int) -> bool:
        """Count them; True, and the gate closes, if the provider now counts as down."""
        since = Coalesce("down_since", Now())
        cls.objects.filter(pk=1).update(unanswered=F("unanswered") + posts, down_since=since)
        is_down = cls.objects.filter(pk=1, unanswered__gte=cls.DOWN_AFTER).exists()
        if is_down:
            cls.close_for(cls.PROBE_EVERY_S)
        return is_down

    @classmethod
    def break_off(cls) -> None:
        """Count the provider as down, before it has refused a post: only probes from now on."""
        cls.not_answered(cls.DOWN_AFTER)

    @classmethod
    def close_for(cls, seconds: float) -> None:
        """Plus up to a tenth at random, so that senders refused together do not come back together."""
        until = Now() + timedelta(seconds=seconds * random.uniform(1, 1.1))  # noqa: S311
        cls.objects.filter(pk=1).update(closed_until=Greatest(Coalesce("closed_until", until), until))

    @classmethod
    def report_blocked(cls, detail: str) -> None:
        """The key is revoked or the account suspended: so staff know why emails wait."""
        StaffTask.open(EmailTask.EMAIL_SENDER_BLOCKED, cls(pk=1), detail)


class AlertQuerySet(models.QuerySet["Alert"]):
    def unsent(self) -> Self:
        """What the webhook has not been sent yet. Alerts that ended more than REPORT_FOR ago are left out."""
        is_open = Q(ended_at=None, began_reported_at=None)
        return self.filter(is_open | Q(ended_at__gte=Now() - Alert.REPORT_FOR, ended_reported_at=None))


class Alert(models.Model):
    """Something that staff should know, from when it began until it ended. Each is reported once."""

    REPORT_FOR = timedelta(days=1)

    class Level(models.TextChoices):
        WARNING = "warning", "look into it today"
        PAGE = "page", "look into it now"

    name = models.CharField(max_length=40)
    about = models.CharField(max_length=100, blank=True, help_text="Which one, if there are several.")
    level = models.CharField(max_length=10, choices=Level.choices)
    text = models.TextField(help_text="What was found when it began.")
    todo = models.TextField(blank=True, verbose_name="what to do")
    began_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)
    began_reported_at = models.DateTimeField(null=True, blank=True)
    ended_reported_at = models.DateTimeField(null=True, blank=True)
    emailed_at = models.DateTimeField(
        null=True, blank=True, help_text="When STAFF_ALERT_EMAILS were sent it."
    )

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["name", "about", "level"],
                condition=Q(ended_at=None),
                name="notifications_alert_one_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.title}, {self.level}: {self.text}"

    @property
    def title(self) -> str:
        return f"{self.name} {self.about}".rstrip()

    @property
    def words(self) -> str:
        """What is wrong and what to do."""
        return f"{self.text}. {self.todo}" if self.todo else self.text
