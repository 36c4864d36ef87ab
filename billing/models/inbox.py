from datetime import timedelta
from typing import Self

from django.db import models, transaction
from django.db.models import F, Q

from csf.clock import Now
from csf.state import colours, edges, move_rows

LEASE = timedelta(seconds=120)


@colours(success="processed", info="received", danger="parked")
class StripeEventStatus(models.TextChoices):
    RECEIVED = "received", "received"
    PROCESSED = "processed", "processed"
    IGNORED = "ignored", "ignored"
    PARKED = "parked", "parked"


class StripeEventQuerySet(models.QuerySet["StripeEvent"]):
    def due(self) -> Self:
        """Received, due on the database's clock, and not leased to a worker."""
        free = Q(leased_until=None) | Q(leased_until__lt=Now())
        return self.filter(free, status=StripeEventStatus.RECEIVED, next_try_at__lte=Now())

    def unpark(self) -> list[str]:
        """Return parked events to the inbox, due now and with all their tries; return their Stripe ids."""
        with transaction.atomic():
            parked = self.filter(status=StripeEventStatus.PARKED).select_for_update()
            ids = list(parked.values_list("stripe_id", flat=True))
            due_now = {"tries": 0, "next_try_at": Now(), "finished_at": None}
            move_rows(StripeEvent.objects.filter(stripe_id__in=ids), StripeEventStatus.RECEIVED, **due_now)
        return ids


class StripeEvent(models.Model):
    """The inbox: each verified webhook, stored before it is answered. Unique by Stripe's id.

    `body` is text because jsonb refuses what genuine events may hold (escaped NUL bytes, lone surrogates).
    """

    EDGES = edges(
        {
            StripeEventStatus.RECEIVED: {
                StripeEventStatus.PROCESSED,
                StripeEventStatus.IGNORED,
                StripeEventStatus.PARKED,
            },
            StripeEventStatus.PARKED: {StripeEventStatus.RECEIVED},
        }
    )

    stripe_id = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=80)
    livemode = models.BooleanField()
    body = models.TextField()
    status = models.CharField(
        max_length=20, choices=StripeEventStatus.choices, default=StripeEventStatus.RECEIVED
    )
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(db_default=Now())
    leased_until = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, help_text="Why it was ignored, or the last error.")
    received_at = models.DateTimeField(db_default=Now())
    was_pulled = models.BooleanField(
        default=False, help_text="Found by asking Stripe, long after a webhook should have reported it."
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = StripeEventQuerySet.as_manager()

    class Meta:
        verbose_name = "Stripe event"
        verbose_name_plural = "Stripe events"
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=StripeEventStatus.values), name="billing_stripeevent_status"
            )
        ]
        indexes = [
            models.Index(
                fields=["next_try_at"], condition=Q(status="received"), name="billing_stripeevent_due"
            ),
            models.Index(
                fields=["received_at"], condition=Q(was_pulled=True), name="billing_stripeevent_pulled"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.stripe_id}"

    def claim(self) -> bool:
        """Take the event for LEASE, counting the try before the work so that a poison event parks in the end.

        False if it is handled, not due, or another worker has it.
        """
        claimed = StripeEvent.objects.due().filter(pk=self.pk)
        if not claimed.update(tries=F("tries") + 1, leased_until=Now() + LEASE):
            return False
        self.refresh_from_db()
        return True

    def finish(self, status: StripeEventStatus, note: str = "") -> None:
        row = StripeEvent.objects.filter(pk=self.pk)
        move_rows(row, status, note=note, leased_until=None, finished_at=Now())

    def try_again_in(self, delay: timedelta, note: str, *, counted: bool = True) -> None:
        """Return the event to the inbox. An uncounted try is one that failed because Stripe is down."""
        tries = F("tries") if counted else F("tries") - 1
        StripeEvent.objects.filter(pk=self.pk).update(
            note=note, leased_until=None, next_try_at=Now() + delay, tries=tries
        )
