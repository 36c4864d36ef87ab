import datetime
import secrets
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse

from csf.state import StatefulModel, TransitionRow, edges, transition
from enrollments.models import Child, Course, Enrollment, Household, User


class OrderStatus(models.TextChoices):
    DRAFT = "draft", "in the cart"
    PLACED = "placed", "waiting for payment"
    CONFIRMED = "confirmed", "confirmed"
    EXPIRED = "expired", "expired"
    CANCELLED = "cancelled", "cancelled"
    COMPLETED = "completed", "completed"


NUMBER_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # read over the phone: no I, O, 0, 1


def new_order_number() -> str:
    return "".join(secrets.choice(NUMBER_ALPHABET) for _ in range(8))


class OrderQuerySet(models.QuerySet["Order"]):
    def placed(self) -> Self:
        """All that left the cart, newest first."""
        return self.exclude(status=OrderStatus.DRAFT).order_by("-placed_at", "-pk")

    def with_lines(self) -> Self:
        return self.prefetch_related("items__child", "items__course__location", "items__enrollment")


class Order(StatefulModel):
    """What a household buys at once. The draft is the cart; placing it freezes prices and holds the seats."""

    EDGES = edges(
        {
            OrderStatus.DRAFT: {OrderStatus.PLACED},
            OrderStatus.PLACED: {OrderStatus.CONFIRMED, OrderStatus.EXPIRED, OrderStatus.CANCELLED},
            OrderStatus.EXPIRED: {OrderStatus.CONFIRMED},  # money that came late, if every seat is free
            OrderStatus.CONFIRMED: {OrderStatus.CANCELLED, OrderStatus.COMPLETED},
        }
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    number = models.CharField(max_length=8, unique=True, default=new_order_number, editable=False)
    household = models.ForeignKey(Household, on_delete=models.PROTECT, related_name="orders")
    status = models.CharField(
        max_length=20, choices=OrderStatus.choices, default=OrderStatus.DRAFT, editable=False
    )
    currency = models.CharField(max_length=3, editable=False)
    total_cents = models.PositiveIntegerField(default=0, editable=False)
    placed_at = models.DateTimeField(null=True, blank=True, editable=False)
    placed_by = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+", editable=False
    )
    held_until = models.DateTimeField(null=True, blank=True, editable=False, help_text="End of the hold.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = OrderQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="orders_order_status"),
            models.UniqueConstraint(
                fields=["household"], condition=Q(status=OrderStatus.DRAFT), name="orders_order_one_cart"
            ),
            models.CheckConstraint(
                condition=Q(status=OrderStatus.DRAFT) | Q(placed_at__isnull=False, placed_by__isnull=False),
                name="orders_order_placed_by_somebody",
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.number}"

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.public_id])

    def place(
        self, *, by: User, at: datetime.datetime, held_until: datetime.datetime, total_cents: int
    ) -> None:
        """Leave the cart. The order confirmation hangs on the transition row, so lines, seats and
        installments are written first. Raises Stale unless it is a draft."""
        transition(
            self,
            OrderStatus.PLACED,
            by=by,
            placed_by=by,
            placed_at=at,
            held_until=held_until,
            total_cents=total_cents,
        )

    def confirm(self, *, reason: str) -> None:
        """Paid (or free): the order stands and every held seat becomes an enrollment. Raises Stale."""
        transition(self, OrderStatus.CONFIRMED, reason=reason)
        for enrollment in Enrollment.objects.filter(order_item__order=self).order_by("pk"):
            enrollment.activate(reason=reason)


class OrderTransition(TransitionRow):
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="transitions")

    class Meta:
        ordering = ["pk"]


class OrderItem(models.Model):
    """One child in one class. Prices are those of the moment of placing; in the cart they are not set."""

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="items")
    child = models.ForeignKey(Child, on_delete=models.PROTECT, related_name="+")
    course = models.ForeignKey(Course, on_delete=models.PROTECT, related_name="order_items")
    enrollment = models.OneToOneField(
        Enrollment, null=True, blank=True, on_delete=models.PROTECT, related_name="order_item"
    )
    list_cents = models.PositiveIntegerField(null=True, editable=False)
    net_cents = models.PositiveIntegerField(null=True, editable=False)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["order", "child", "course"], name="orders_orderitem_once"),
            models.CheckConstraint(condition=Q(net_cents__lte=F("list_cents")), name="orders_orderitem_net"),
        ]

    def __str__(self) -> str:
        return f"{self.child} in {self.course}"


def cart_of(household: Household) -> Order:
    """The household's one draft order, made on first use."""
    cart, _ = Order.objects.get_or_create(
        household=household, status=OrderStatus.DRAFT, defaults={"currency": settings.CURRENCY}
    )
    return cart
