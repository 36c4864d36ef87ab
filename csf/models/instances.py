import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from csf.clock import Now


class Instance(models.Model):
    """One row: the name of the installation that this database belongs to, and whether it may act outside.

    A copy of production carries production's name, so wherever INSTANCE_ID differs, nothing is emailed or
    charged, and Stripe's events are not handled. Without a row only production is held back.
    """

    id = models.TextField(primary_key=True)
    quarantined_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty while it may send and charge."
    )
    lifted_at = models.DateTimeField(null=True, blank=True)
    predecessor_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text=(
            "Until then, the installation that this one replaces may have sent emails. Anything that "
            "happened earlier is not emailed automatically."
        ),
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(Value(1), name="csf_instance_one_row")]

    def __str__(self) -> str:
        return self.id

    @classmethod
    def begin(cls) -> None:
        """Name the database at its first use; an existing name is never changed."""
        Instance.objects.bulk_create([Instance(id=settings.INSTANCE_ID)], ignore_conflicts=True)

    @classmethod
    def why_quarantined(cls) -> str:
        """Why nothing may leave this installation, in words; empty if all may."""
        instance = cls._current()
        if instance is None:
            return "the database has no name yet: run `manage.py prepare`" if settings.IS_PRODUCTION else ""
        if instance.id != settings.INSTANCE_ID:
            return f"the database belongs to {instance.id!r}, but INSTANCE_ID is {settings.INSTANCE_ID!r}"
        return (
            f"in quarantine since {instance.quarantined_at:%Y-%m-%d %H:%M %Z}"
            if instance.quarantined_at
            else ""
        )

    @classmethod
    def was_lifted_since(cls, moment: datetime.datetime) -> bool:
        """Whether this database may be missing what the installation did outside after that moment."""
        instance = cls._current()
        return bool(instance and instance.lifted_at and instance.lifted_at > moment)

    @classmethod
    def may_be_known_until(cls) -> datetime.datetime | None:
        """What happened before may have been emailed by another installation; None if there was none. A
        quarantine counts as the beginning of a new one until it is lifted."""
        instance = cls._current()
        return (instance.quarantined_at or instance.predecessor_until) if instance else None

    @classmethod
    def _current(cls) -> "Instance | None":
        # Raw: each call to Stripe asks, and building the query would cost more than the rest.
        return next(iter(cls.objects.raw("SELECT * FROM csf_instance")), None)

    @classmethod
    def quarantine(cls) -> None:
        """Let nothing leave from now on; a second call keeps the first moment."""
        cls.begin()
        cls.objects.filter(quarantined_at=None).update(quarantined_at=Now())

    @classmethod
    def lift_quarantine(cls) -> None:
        """Take the configured name and act again."""
        cls.begin()
        cls.objects.update(
            id=settings.INSTANCE_ID,
            predecessor_until=Coalesce(F("quarantined_at"), Now()),
            quarantined_at=None,
            lifted_at=Now(),
        )
