import datetime
import uuid
from typing import Any, Self

from django.db import models
from django.db.models import Q

from billing.models.cards import Card
from billing.models.installments import Installment, InstallmentStatus
from billing.stripe.decline_codes import DeclineClass
from csf.clock import Now
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from enrollments.models import User


class ChargeKind(models.TextChoices):
    CHECKOUT = "checkout", "Stripe's payment page"
    AUTO = "auto", "saved card, on the due day"
    PARENT = "parent", "saved card, asked for by the parent"
    STAFF = "staff", "saved card, asked for by staff"
    HOSTED = "hosted", "Stripe's invoice page"
    PAGE = "page", "Stripe's payment page, for one installment"


SESSIONS = [ChargeKind.CHECKOUT, ChargeKind.PAGE]  # at Stripe each is a Checkout Session
ON_STRIPES_PAGES = [*SESSIONS, ChargeKind.HOSTED]


@colours(
    success="succeeded",
    info="sending waiting",
    warning="unknown needs_auth",
    danger="declined rejected parked",
)
class ChargeStatus(models.TextChoices):
    CREATED = "created", "created"
    SENDING = "sending", "being sent to Stripe"
    WAITING = "waiting", "waiting for the parent"
    UNKNOWN = "unknown", "outcome not known"
    SUCCEEDED = "succeeded", "paid"
    DECLINED = "declined", "declined"
    NEEDS_AUTH = "needs_auth", "needs the parent's confirmation"
    REJECTED = "rejected", "refused by Stripe"
    NOT_EXECUTED = "not_executed", "not executed"
    PARKED = "parked", "unknown after three days"


OPEN_CHARGE = [
    ChargeStatus.CREATED,
    ChargeStatus.SENDING,
    ChargeStatus.WAITING,
    ChargeStatus.UNKNOWN,
    ChargeStatus.PARKED,
]
LEASE = datetime.timedelta(seconds=120)


class ChargeAttemptQuerySet(models.QuerySet["ChargeAttempt"]):
    def payable(self) -> Self:
        """Those whose payment page may still take money: open ones, and declined ones with the page open."""
        return self.under_way().filter(kind__in=SESSIONS)

    def under_way(self) -> Self:
        """Those that may still take money, or whose outcome is not known."""
        still_open = Q(status=ChargeStatus.DECLINED, kind__in=SESSIONS, session_closed_at=None)
        return self.filter(Q(status__in=OPEN_CHARGE) | still_open)

    def on_saved_cards(self) -> Self:
        return self.exclude(kind__in=ON_STRIPES_PAGES)

    def waiting(self) -> Self:
        """Those that a worker may take: new ones, and unknown ones that are to be looked at again."""
        look = Q(status=ChargeStatus.UNKNOWN, next_look_at__lte=Now())
        free = Q(leased_until=None) | Q(leased_until__lt=Now())
        return self.filter(free, Q(status=ChargeStatus.CREATED) | look)


class ChargeAttempt(StatefulModel):
    """One try to get an installment's money. The row is committed before Stripe is asked, and its public id
    makes the idempotency key, so a repeat of the same attempt can never charge twice."""

    EDGES = edges(
        {
            ChargeStatus.CREATED: {
                ChargeStatus.SENDING,
                ChargeStatus.NOT_EXECUTED,
                ChargeStatus.DECLINED,  # on the page of an invoice: known only once it was declined
            },
            ChargeStatus.SENDING: {
                ChargeStatus.WAITING,
                ChargeStatus.SUCCEEDED,
                ChargeStatus.DECLINED,
                ChargeStatus.NEEDS_AUTH,
                ChargeStatus.REJECTED,
                ChargeStatus.NOT_EXECUTED,
                ChargeStatus.UNKNOWN,
            },
            ChargeStatus.UNKNOWN: {
                ChargeStatus.SENDING,  # the same attempt again, under the same key
                ChargeStatus.WAITING,
                ChargeStatus.SUCCEEDED,
                ChargeStatus.DECLINED,
                ChargeStatus.NEEDS_AUTH,
                ChargeStatus.REJECTED,
                ChargeStatus.NOT_EXECUTED,
                ChargeStatus.PARKED,
            },
            ChargeStatus.PARKED: {
                ChargeStatus.SUCCEEDED,
                ChargeStatus.DECLINED,
                ChargeStatus.NEEDS_AUTH,
                ChargeStatus.REJECTED,
                ChargeStatus.NOT_EXECUTED,
            },
            ChargeStatus.WAITING: {
                ChargeStatus.SUCCEEDED,
                ChargeStatus.DECLINED,
                ChargeStatus.NOT_EXECUTED,
            },
            # The page stays open after a decline: the parent may pay with another card.
            ChargeStatus.DECLINED: {ChargeStatus.SUCCEEDED},
            # Stripe is always right about money: a page that we thought closed may have been paid.
            ChargeStatus.NOT_EXECUTED: {ChargeStatus.SUCCEEDED},
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    installment = models.ForeignKey(Installment, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=20, choices=ChargeKind.choices)
    status = models.CharField(
        max_length=20, choices=ChargeStatus.choices, default=ChargeStatus.CREATED, editable=False
    )
    amount_cents = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    stripe_session_id = models.CharField(max_length=255, unique=True, null=True, editable=False)
    session_url = models.URLField(max_length=2000, blank=True, editable=False)
    session_expires_at = models.DateTimeField(null=True, editable=False)
    session_closed_at = models.DateTimeField(null=True, editable=False)
    return_path = models.CharField(
        max_length=500,
        blank=True,
        editable=False,
        help_text="Where the page of an installment leads back to.",
    )
    status_before = models.CharField(
        max_length=20,
        choices=InstallmentStatus.choices,
        blank=True,
        editable=False,
        help_text="Of the installment: what it returns to when its page closes without money.",
    )
    next_try_before = models.DateField(null=True, editable=False)
    charged_on = models.DateField(
        null=True, editable=False, help_text="Business date of a charge on a saved card."
    )
    card = models.ForeignKey(Card, null=True, blank=True, on_delete=models.PROTECT, related_name="attempts")
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    next_look_at = models.DateTimeField(
        null=True, editable=False, help_text="When the resolver asks Stripe again."
    )
    leased_until = models.DateTimeField(null=True, editable=False)
    stripe_charge_id = models.CharField(
        max_length=255, unique=True, null=True, editable=False, help_text="Of the charge that was declined."
    )
    decline_class = models.CharField(max_length=20, choices=DeclineClass.choices, blank=True, editable=False)
    decline_code = models.CharField(max_length=100, blank=True, editable=False)
    card_brand = models.CharField(max_length=30, blank=True, editable=False)
    card_last4 = models.CharField(max_length=4, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ChargeAttemptQuerySet.as_manager()

    class Meta:
        ordering = ["installment", "number"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=ChargeStatus.values), name="billing_chargeattempt_status"
            ),
            models.UniqueConstraint(fields=["installment", "number"], name="billing_chargeattempt_number"),
            models.UniqueConstraint(
                fields=["installment"],
                condition=Q(status__in=OPEN_CHARGE),
                name="billing_chargeattempt_one_open",
            ),
            # However often a job runs on a day, it makes one attempt; what was not executed does not count.
            models.UniqueConstraint(
                fields=["installment", "charged_on"],
                condition=Q(kind=ChargeKind.AUTO)
                & ~Q(status__in=[ChargeStatus.NOT_EXECUTED, ChargeStatus.REJECTED]),
                name="billing_chargeattempt_auto_once_a_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.installment}, try {self.number}"

    def transition_to(
        self, to: ChargeStatus, *, by: User | None = None, reason: str = "", **columns: Any
    ) -> None:
        """Raises Stale if the attempt has moved meanwhile."""
        transition(self, to, by=by, reason=reason, **columns)

    def give_back(self, *, reason: str) -> None:
        """The page closed without a payment: restore its installment, unless something else charges it by
        now, because pages may be reported late. Raises Stale."""
        others = self.installment.attempts.under_way().exclude(pk=self.pk)
        if others.exists():
            return
        if self.status_before:
            to = InstallmentStatus(self.status_before)
            transition(self.installment, to, reason=reason, next_try_on=self.next_try_before)
        else:
            self.installment.stop_charging(reason=reason)

    def can_take_money(self, now: datetime.datetime) -> bool:
        ends_at = self.session_expires_at
        return bool(self.session_url and ends_at and now < ends_at) and self.session_closed_at is None


class ChargeAttemptTransition(TransitionRow):
    chargeattempt = models.ForeignKey(ChargeAttempt, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]
