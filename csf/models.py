"""Operational tables: what a person must decide."""

import datetime
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Coalesce

from csf.clock import Now


class StaffTaskQuerySet(models.QuerySet["StaffTask"]):
    def open(self) -> Self:
        return self.filter(closed_at=None)

    def about(self, obj: models.Model) -> Self:
        return self.filter(subject=f"{obj._meta.label_lower}:{obj.pk}")

    def close(self, *, by: AbstractBaseUser) -> int:
        """Close those that are still open and return how many; the first person to close one stays
        recorded."""
        return self.open().update(closed_at=Now(), closed_by=by)


def staff_task_kinds() -> list[tuple[str, str]]:
    """A function, so that a new kind needs no migration."""
    return StaffTask.Kind.choices


class StaffTask(models.Model):
    """Something that only a person can decide. Opened by the system, closed by staff."""

    class Kind(models.TextChoices):
        UNMATCHED_PAYMENT = "unmatched_payment", "Payment that matches no open installment"
        EVENT_PARKED = "event_parked", "Stripe event that could not be processed"
        EMAIL_FAILED = "email_failed", "Email that could not be sent"
        EMAIL_WITHOUT_FILE = "email_without_file", "Emails sent without their calendar file"
        EMAIL_BOUNCED = "email_bounced", "Address that does not accept email"
        EMAIL_COMPLAINED = "email_complained", "Family that marked our email as spam"
        EMAIL_SUPPRESSED = "email_suppressed", "Essential email to a suppressed address"
        EMAIL_SENDER_BLOCKED = "email_sender_blocked", "SendGrid refuses our emails"
        NOBODY_TO_NOTIFY = "nobody_to_notify", "Family that cannot be reached by email"
        EMAIL_UNKNOWN = "email_unknown", "Email that may or may not have been sent"
        EMAILS_WITHHELD = "emails_withheld", "Emails that another installation may have sent"
        STRIPE_KEY_REFUSED = "stripe_key_refused", "Stripe rejects our secret key"
        CHARGE_UNKNOWN = "charge_unknown", "Charge with unknown outcome"
        CARD_REFUSED = "card_refused", "Card refused for good by the bank"
        CARD_UNKNOWN = "card_unknown", "New card: unclear what it should pay for"
        DECLINE_TO_LOOK_AT = "decline_to_look_at", "Decline to review"
        INSTALLMENT_LATE = "installment_late", "Installment too late to charge automatically"
        INSTALLMENT_EXHAUSTED = "installment_exhausted", "Installment whose last try failed"
        JOB_SILENT = "job_silent", "Daily job that has not run for days"
        CHARGE_REJECTED = "charge_rejected", "Request refused by Stripe"
        INVOICE_ENDED = "invoice_ended", "Invoice closed at Stripe, not by us"
        REFUND_TO_APPROVE = "refund_to_approve", "Refund to approve or reject"
        REFUND_BY_SYSTEM = "refund_by_system", "Automatic refund to review"
        REFUND_FAILED = "refund_failed", "Refund that did not reach the family"
        REFUND_UNKNOWN = "refund_unknown", "Refund with unknown outcome"
        CANCELLATION_WAITING = "cancellation_waiting", "Cancelled place with unsettled payments"
        REFUND_EXTERNAL = "refund_external", "Refund made at Stripe: add the reason"
        BOOKS_DIFFER = "books_differ", "Difference between our books and Stripe's"
        DISPUTE = "dispute", "Payment disputed by the family's bank"
        DISPUTE_DECIDED = "dispute_decided", "Dispute decided by the bank"
        FRAUD_WARNING = "fraud_warning", "Payment reported as fraud by the card's bank"
        WAITLIST_CHARGE = "waitlist_charge", "Waitlist place whose charge needs attention"
        CLOSURE_LINE = "closure_line", "Family of a cancelled class that needs attention"

    kind = models.CharField(max_length=40, choices=staff_task_kinds)
    subject = models.CharField(
        max_length=100,
        help_text="The row this is about, as app.model:id; or several rows, as app.model?filter.",
    )
    detail = models.TextField(blank=True)
    opened_at = models.DateTimeField(db_default=Now(), editable=False)
    emailed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When STAFF_ALERT_EMAILS were sent it."
    )
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    closed_because = models.CharField(max_length=200, blank=True, help_text="Set if it closed by itself.")

    objects = StaffTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="csf_stafftask_one_open"
            )
        ]

    def __str__(self) -> str:
        return self.Kind(self.kind).label

    @property
    def subject_parts(self) -> tuple[str, str, str]:
        """Model label, row id, list filters; of the last two one is empty."""
        label, _, filters = self.subject.partition("?")
        label, _, key = label.partition(":")
        return label, key, filters

    @classmethod
    def open(cls, kind: "StaffTask.Kind", about: models.Model, detail: str = "") -> None:
        """Ask staff to decide about a row. A second call while the first is open changes nothing."""
        cls._open(kind, f"{about._meta.label_lower}:{about.pk}", detail)

    @classmethod
    def open_for_many(
        cls, kind: "StaffTask.Kind", model: type[models.Model], filters: Mapping[str, str], detail: str = ""
    ) -> None:
        """Ask staff once about all rows with the same trouble; `filters` are those of the model's list."""
        cls._open(kind, f"{model._meta.label_lower}?{urlencode(filters)}", detail)

    @classmethod
    def _open(cls, kind: "StaffTask.Kind", subject: str, detail: str) -> None:
        task = StaffTask(kind=kind, subject=subject, detail=detail)
        StaffTask.objects.bulk_create([task], ignore_conflicts=True)


class Breaker(models.Model):
    """Whether a service outside answers, as all processes see it: how often in a row it did not."""

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
    def has_rested(cls, name: str) -> bool:
        """Whether its rest is over; true for one caller, after whom a new rest begins."""
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


class FormPress(models.Model):
    """A staff form that was sent. Forgotten after a day: by then nobody presses a button twice."""

    key = models.CharField(max_length=64, primary_key=True)
    pressed_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.key


class JobRun(models.Model):
    """One run of a daily job for a local date. That a row is missing is the alarm."""

    class Status(models.TextChoices):
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    job = models.CharField(max_length=60)
    on = models.DateField()
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.RUNNING)
    lease_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    covered_by = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        help_text="The later run that did the work of this day.",
    )
    report = models.JSONField(
        default=dict, help_text="Counts, and each row that was skipped with the reason."
    )

    class Meta:
        ordering = ["-on", "job"]
        constraints = [models.UniqueConstraint(fields=["job", "on"], name="csf_jobrun_once_a_day")]

    def __str__(self) -> str:
        return f"{self.job} {self.on}"

    @property
    def summary_line(self) -> str:
        done, failed = self.report.get("done", 0), self.report.get("failed", 0)
        return f"done={done} skipped={len(self.report.get('skipped', []))} failed={failed}"


class ProofRunQuerySet(models.QuerySet["ProofRun"]):
    def finished(self) -> Self:
        return self.filter(finished_at__isnull=False)


class ProofRun(models.Model):
    """One look at whether the rows contradict each other (csf/proofs/nightly.py). Holds ids, never what is
    in the rows."""

    LEASE = datetime.timedelta(minutes=3)

    class Mode(models.TextChoices):
        FULL = "full", "everything"
        RECENT = "recent", "recent changes"

    mode = models.CharField(max_length=10, choices=Mode.choices)
    since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Large tables were checked from then on; empty if everything was checked.",
    )
    began_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    looked_at = models.PositiveSmallIntegerField(default=0, help_text="Number of invariants checked.")
    broken = models.JSONField(
        default=list, help_text="Number, words, count and some ids of each invariant that does not hold."
    )

    objects = ProofRunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "proof"
        constraints = [
            models.UniqueConstraint(
                Value(1), condition=Q(finished_at=None), name="csf_proofrun_one_under_way"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}, {self.began_at:%Y-%m-%d %H:%M}"

    @property
    def lines(self) -> list[str]:
        """What it found, for people."""
        return [
            f"{found['number']} {found['broken']} ({found['count']}): {', '.join(map(str, found['ids']))}"
            for found in self.broken
        ]


class Instance(models.Model):
    """One row: the name of the installation that this database belongs to, and whether it may act outside.

    A copy of production carries production's name, so wherever INSTANCE_ID is another, nothing is mailed,
    charged or answered to Stripe's events. Without a row only production is held back.
    """

    id = models.TextField(primary_key=True)
    quarantined_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty while it may send and charge."
    )
    released_at = models.DateTimeField(null=True, blank=True)
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
        """Name the database at its first use; a name that it has is never changed."""
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
    def was_released_since(cls, moment: datetime.datetime) -> bool:
        """Whether this database may lack what the installation did outside after that moment."""
        instance = cls._current()
        return bool(instance and instance.released_at and instance.released_at > moment)

    @classmethod
    def may_be_known_until(cls) -> datetime.datetime | None:
        """What happened before may have been emailed by another installation; None if there was none. A
        quarantine is taken for the begin of a new one before it is released."""
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
    def release(cls) -> None:
        """Take the configured name and act again."""
        cls.begin()
        cls.objects.update(
            id=settings.INSTANCE_ID,
            predecessor_until=Coalesce(F("quarantined_at"), Now()),
            quarantined_at=None,
            released_at=Now(),
        )


class ClusterQuerySet(models.QuerySet["Cluster"]):
    def expected(self) -> Self:
        """Those that said no goodbye."""
        return self.filter(stopped_at=None)

    def silent(self) -> Self:
        """Killed, or cut off from the database."""
        return self.expected().filter(seen_at__lt=Now() - Cluster.SILENT_AFTER)

    def stuck(self) -> Self:
        """They run, but no task comes through."""
        proven_at = Coalesce("canary_at", "started_at")
        proven = self.expected().alias(proven_at=proven_at).filter(proven_at__lt=Now() - Cluster.STUCK_AFTER)
        return proven.filter(seen_at__gte=Now() - Cluster.SILENT_AFTER)

    def well(self) -> Self:
        """Including those that have just started."""
        unwell = self.silent().values("pk").union(self.stuck().values("pk"))
        return self.expected().exclude(pk__in=unwell)

    def for_all_work(self) -> Self:
        """Not those with a queue of their own for one kind of task."""
        return self.filter(queue=settings.Q_CLUSTER["name"])


class Cluster(models.Model):
    """A cluster of workers, by name, and its signs of life (`csf/jobs/cluster.py`).

    Its main process writes `seen_at`. `canary_at` proves more: a task of its own went through its queue, one
    of its workers and the process that takes the results.
    """

    SILENT_AFTER = datetime.timedelta(seconds=90)
    # While all workers are busy a canary waits for two tasks, each of which may take a minute.
    STUCK_AFTER = datetime.timedelta(minutes=3)

    name = models.CharField(max_length=80, unique=True)
    queue = models.CharField(max_length=40, help_text="The queue whose tasks it takes.")
    host = models.CharField(max_length=64)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(db_default=Now())
    canary_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="When it was stopped cleanly.")
    clock_ahead_s = models.FloatField(
        "clock ahead, in seconds",
        db_default=0,
        help_text="Compared with the database's clock; negative if the host's clock is behind.",
    )

    objects = ClusterQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def canary_came_back(cls, name: str) -> None:
        cls.objects.filter(name=name).update(canary_at=Now())
