import datetime
import secrets
import uuid
from collections.abc import Mapping
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Prefetch, Q
from django.db.models.functions import Upper

from csf import clock
from csf.clock import Now
from csf.state import StatefulModel, TransitionRow, colours, edges, transition
from csf.web.fast_reverse import path_to
from enrollments.models import Child, Course, CourseSession, Enrollment, Household, Program, User


@colours(success="confirmed", info="placed")
class OrderStatus(models.TextChoices):
    DRAFT = "draft", "in the cart"
    PLACED = "placed", "waiting for payment"
    CONFIRMED = "confirmed", "confirmed"
    EXPIRED = "expired", "expired"
    CANCELLED = "cancelled", "cancelled"
    COMPLETED = "completed", "completed"


class OrderOrigin(models.TextChoices):
    CART = "cart", "the family's cart"
    WAITLIST = "waitlist", "a place from the waitlist"


NUMBER_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # read over the phone: no I, O, 0, 1


def new_order_number() -> str:
    return "".join(secrets.choice(NUMBER_ALPHABET) for _ in range(8))


class OrderQuerySet(models.QuerySet["Order"]):
    def placed(self) -> Self:
        """All orders that are no longer carts, newest first."""
        return self.exclude(status=OrderStatus.DRAFT).order_by("-placed_at", "-pk")

    def with_lines(self) -> Self:
        related = ["child", "course__location", "enrollment", "moved_to__course", "order"]
        lines = OrderItem.objects.select_related(*related).prefetch_related("course__sessions")
        return self.prefetch_related(Prefetch("items", lines))

    def carts(self) -> Self:
        return self.filter(status=OrderStatus.DRAFT, origin=OrderOrigin.CART)


class Order(StatefulModel):
    """What a household buys at once. The draft is the cart; placing it freezes prices and holds the seats."""

    EDGES = edges(
        {
            OrderStatus.DRAFT: {OrderStatus.PLACED},
            OrderStatus.PLACED: {OrderStatus.CONFIRMED, OrderStatus.EXPIRED, OrderStatus.CANCELLED},
            OrderStatus.EXPIRED: {OrderStatus.CONFIRMED},  # money that came late, if every seat is free
            OrderStatus.CONFIRMED: {OrderStatus.CANCELLED, OrderStatus.COMPLETED},
            OrderStatus.COMPLETED: {OrderStatus.CONFIRMED},  # one of its classes is extended
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.CharField(max_length=8, unique=True, default=new_order_number, editable=False)
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="orders")
    status = models.CharField(
        max_length=20, choices=OrderStatus.choices, default=OrderStatus.DRAFT, editable=False
    )
    origin = models.CharField(
        max_length=20, choices=OrderOrigin.choices, default=OrderOrigin.CART, editable=False
    )
    currency = models.CharField(max_length=3, editable=False)
    total_cents = models.PositiveIntegerField(default=0, editable=False)
    placed_at = models.DateTimeField(null=True, blank=True, editable=False)
    placed_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    promo_code = models.ForeignKey(
        "PromoCode", null=True, blank=True, on_delete=models.PROTECT, related_name="orders", editable=False
    )
    charges_paused_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Since then nothing is charged automatically."
    )
    held_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="End of the hold.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="orders_order_status"),
            models.UniqueConstraint(
                fields=["household"],
                condition=Q(status=OrderStatus.DRAFT, origin=OrderOrigin.CART),
                name="orders_order_one_cart",
            ),
            models.CheckConstraint(
                condition=Q(status=OrderStatus.DRAFT) | Q(placed_at__isnull=False, placed_by__isnull=False),
                name="orders_order_placed_by_somebody",
            ),
        ]
        indexes = [
            models.Index(
                fields=["held_until"], condition=Q(status=OrderStatus.PLACED), name="orders_order_held"
            ),  # each minute the sweep asks which holds are over
        ]

    def __str__(self) -> str:
        return f"Order {self.number}"

    def get_absolute_url(self) -> str:
        return path_to("order", self.public_id)

    def place(
        self, *, by: User, at: datetime.datetime, held_until: datetime.datetime, total_cents: int
    ) -> None:
        """Leave the cart. The transition row triggers the order confirmation, so lines, seats and
        installments are written first. Raises Stale unless it is a draft."""
        transition(
            self,
            OrderStatus.PLACED,
            by=by,
            placed_by=by,
            placed_at=at,
            held_until=held_until,
            total_cents=total_cents,
            currency=settings.CURRENCY,  # that of the prices that were shown
        )

    def confirm(self, *, reason: str, seats: Mapping[int, int] | None = None) -> None:
        """Paid (or free): the order is confirmed and every seat becomes an enrollment. Raises Stale.

        After an expired hold `seats` gives the number that each enrollment takes now.
        """
        transition(self, OrderStatus.CONFIRMED, reason=reason)
        for enrollment in Enrollment.objects.filter(order_item__order=self).order_by("pk"):
            enrollment.activate(reason=reason, seat_number=(seats or {}).get(enrollment.pk))

    def reopen(self, *, by: User, reason: str) -> None:
        """One of its classes is extended, so a completed order is confirmed again. Raises Stale."""
        transition(self, OrderStatus.CONFIRMED, by=by, reason=reason)

    def end(self, to: OrderStatus, *, by: User | None = None, reason: str) -> None:
        """Expired, cancelled or completed. Raises Stale."""
        transition(self, to, by=by, reason=reason)


class OrderTransition(TransitionRow):
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


class OrderItem(models.Model):
    """One child in one class. Prices are set when the order is placed; in the cart they are empty."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="items")
    child = models.ForeignKey(Child, on_delete=models.PROTECT, related_name="+")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="order_items")
    enrollment = models.OneToOneField(
        Enrollment, null=True, blank=True, on_delete=models.PROTECT, related_name="order_item"
    )
    moved_from = models.OneToOneField(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="moved_to",
        editable=False,
        help_text="The line whose child moved to this class.",
    )
    list_cents = models.PositiveIntegerField(null=True, editable=False)
    begun_cents = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Taken off for the sessions that had begun when it was placed.",
    )
    sibling_cents = models.PositiveIntegerField(default=0, editable=False)
    promo_cents = models.PositiveIntegerField(default=0, editable=False)
    net_cents = models.PositiveIntegerField(null=True, editable=False)
    explanation = models.JSONField(
        default=list, editable=False, help_text="Each reduction, in words and cents."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "child", "course"],
                condition=Q(moved_from=None),
                name="orders_orderitem_once",
            ),
            models.CheckConstraint(
                condition=Q(list_cents=None, net_cents=None)
                | Q(net_cents=F("list_cents") - F("begun_cents") - F("sibling_cents") - F("promo_cents")),
                name="orders_orderitem_net",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.child} in {self.course}"

    @property
    def bought_at(self) -> datetime.datetime | None:
        """Sessions that had not begun by then are those it pays for; None in the cart."""
        if self.moved_from_id and self.enrollment:
            return self.enrollment.created_at
        return self.order.placed_at

    @property
    def sessions(self) -> list[CourseSession]:
        """The sessions that it pays for; in the cart, those that it would pay for now."""
        since = self.bought_at or clock.now()
        return [session for session in self.course.meetings() if session.starts_at > since]

    @property
    def first_on(self) -> datetime.date:
        """The child's first day in the class."""
        sessions = self.sessions
        return sessions[0].held_on if sessions else self.course.starts_on


class PromoCode(models.Model):
    """A code that takes a percentage or a fixed amount off. Each household may use it once for a class."""

    code = models.CharField(max_length=30, unique=True)
    percent_bps = models.PositiveIntegerField("percent off", default=0, help_text="Taken off each line.")
    amount_cents = models.PositiveIntegerField("amount off", default=0, help_text="Taken off an order once.")
    program = models.ForeignKey(
        Program, null=True, blank=True, on_delete=models.PROTECT, help_text="Leave empty for all programs."
    )
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True, help_text="The last day.")
    max_orders = models.PositiveIntegerField(null=True, blank=True, help_text="Leave empty for no limit.")
    is_active = models.BooleanField(default=True)
    archived_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Archived: hidden from lists and choices since then."
    )

    class Meta:
        ordering = ["code"]
        constraints = [
            models.CheckConstraint(
                condition=Q(percent_bps__gt=0, percent_bps__lte=10_000, amount_cents=0)
                | Q(percent_bps=0, amount_cents__gt=0),
                name="orders_promocode_percent_or_amount",
            ),
            models.CheckConstraint(condition=Q(code=Upper("code")), name="orders_promocode_upper_case"),
        ]

    def __str__(self) -> str:
        return self.code

    def is_valid_on(self, on: datetime.date) -> bool:
        started = self.starts_on is None or self.starts_on <= on
        return self.is_active and started and (self.ends_on is None or on <= self.ends_on)


class PromoRedemption(models.Model):
    """An order that uses a code. The numbers 1..max_orders are taken like seats; returning one deletes the
    row."""

    promo_code = models.ForeignKey(PromoCode, on_delete=models.PROTECT, related_name="redemptions")
    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="promo_redemption")
    number = models.PositiveIntegerField()
    limit = models.PositiveIntegerField(
        null=True, editable=False, help_text="The code's `max_orders` when it was used."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(limit=None) | Q(number__lte=F("limit")),
                name="orders_promoredemption_within_limit",
            ),
            models.UniqueConstraint(fields=["promo_code", "number"], name="orders_promoredemption_number"),
        ]

    def __str__(self) -> str:
        return f"{self.promo_code} no. {self.number} by {self.order}"


class PromoUse(models.Model):
    """The line that a redemption reduces; unique for code, household and class."""

    redemption = models.ForeignKey(PromoRedemption, on_delete=models.CASCADE, related_name="uses")
    item = models.OneToOneField(OrderItem, on_delete=models.PROTECT, related_name="promo_use")
    promo_code = models.ForeignKey(PromoCode, on_delete=models.PROTECT, related_name="uses")
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="promo_uses")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["promo_code", "household", "course"],
                name="orders_promouse_once_a_class_and_household",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.promo_code} for {self.item}"


def cart_of(household: Household) -> Order:
    """The household's one draft order, made on first use."""
    cart, _ = Order.objects.get_or_create(
        household=household,
        status=OrderStatus.DRAFT,
        origin=OrderOrigin.CART,
        defaults={"currency": settings.CURRENCY},
    )
    return cart
