"""About orders as they were placed: prices, lines and the places that belong to them."""

from datetime import datetime
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.admin.models import CHANGE, LogEntry
from django.db.models import Exists, F, OuterRef, Q, Sum, TextField
from django.db.models.functions import Cast

from csf.proofs.invariants import Invariant, last_before, legal, pks, twice
from enrollments.models import Enrollment, EnrollmentStatus, Household, User
from orders.models import (
    Order,
    OrderItem,
    OrderStatus,
    OrderTransition,
    PromoRedemption,
    PromoUse,
)

STANDING = [OrderStatus.CONFIRMED, OrderStatus.COMPLETED]
# The place of a confirmed order is, or was, one that someone has.
NOT_YET = [
    EnrollmentStatus.HELD,
    EnrollmentStatus.RELEASED,
    EnrollmentStatus.WAITLISTED,
    EnrollmentStatus.OFFERED,
    EnrollmentStatus.LAPSED,
    EnrollmentStatus.DECLINED,
]
HAS_PLACE = [EnrollmentStatus.ACTIVE, EnrollmentStatus.ON_OFFER]


def _wrong_net() -> Any:
    right = F("list_cents") - F("begun_cents") - F("sibling_cents") - F("promo_cents")
    return pks(OrderItem.objects.exclude(net_cents=None).exclude(net_cents=right))


def _wrong_total(since: datetime | None = None) -> Any:
    """A line that a child was moved to has its own price; the order keeps the prices agreed when it was
    placed."""
    placed = Order.objects.exclude(status=OrderStatus.DRAFT)
    if since:
        moved = OrderTransition.objects.filter(pk__gt=last_before(OrderTransition, since))
        placed = placed.filter(pk__in=moved.values("order"))
    sums = placed.annotate(sum_cents=Sum("items__net_cents", filter=Q(items__moved_from=None)))
    return pks(sums.exclude(total_cents=F("sum_cents")))


def _above_the_limit() -> Any:
    """A limit that staff have lowered since does not undo what was used before."""
    changed = LogEntry.objects.filter(
        content_type__app_label="orders",
        content_type__model="promocode",
        object_id=Cast(OuterRef("promo_code"), TextField()),
        action_flag=CHANGE,
    )
    without_limit = Q(~Exists(changed), limit=None, number__gt=F("promo_code__max_orders"))
    return pks(PromoRedemption.objects.filter(Q(number__gt=F("limit")) | without_limit))


def _used_for_another() -> Any:
    """The use names the code, the family and the class of its line."""
    same = Q(
        item__order=F("redemption__order"),
        promo_code=F("redemption__promo_code"),
        household=F("item__order__household"),
        course=F("item__course"),
    )
    return pks(PromoUse.objects.exclude(same))


def _place_without_a_right() -> Any:
    lines = OrderItem.objects.filter(enrollment=OuterRef("pk"))
    enrolled = Enrollment.objects.filter(
        ~Exists(lines.filter(order__status__in=STANDING)), status__in=HAS_PLACE
    )
    wanted = lines.filter(order__status__in=[*STANDING, OrderStatus.PLACED])
    held = Enrollment.objects.filter(~Exists(wanted), status=EnrollmentStatus.HELD)
    return [*pks(enrolled), *pks(held)]


def _order_without_its_places() -> Any:
    """The order is confirmed but one of its places is not; or it waits for payment but its seats are not
    held."""
    missing = Q(enrollment=None, order__status__in=[*STANDING, OrderStatus.PLACED])
    given_back = Q(enrollment__status__in=NOT_YET, order__status__in=STANDING)
    not_held = Q(order__status=OrderStatus.PLACED) & ~Q(enrollment__status=EnrollmentStatus.HELD)
    return pks(OrderItem.objects.filter(missing | given_back | not_held))


def _completed_too_early() -> Any:
    ongoing = Enrollment.objects.filter(order_item__order=OuterRef("pk"), status__in=HAS_PLACE)
    return pks(Order.objects.filter(Exists(ongoing), status=OrderStatus.COMPLETED))


def _other_places() -> Any:
    same = Q(enrollment__child=F("child"), enrollment__course=F("course"))
    return pks(OrderItem.objects.exclude(enrollment=None).exclude(same))


def _strangers() -> Any:
    return pks(OrderItem.objects.exclude(child__household=F("order__household")))


def _placed_by_strangers() -> Any:
    """A guardian who has since left the family, according to the staff site's log, does not count."""
    others = Order.objects.exclude(placed_by__household=F("household")).filter(placed_by__is_staff=False)
    return pks(others.filter(~Exists(_changed_by_staff())))


def _changed_by_staff() -> Any:
    """On the page of the person who ordered, or on that of the family."""
    theirs = Q(content_type__model="user", object_id=Cast(OuterRef("placed_by"), TextField()))
    theirs |= Q(content_type__model="household", object_id=Cast(OuterRef("household"), TextField()))
    return LogEntry.objects.filter(theirs, content_type__app_label="enrollments", action_flag=CHANGE)


def _unconfirmed_addresses() -> Any:
    """Nobody orders before the address is confirmed; one that the office has replaced since may not be."""
    confirmed = EmailAddress.objects.filter(user=OuterRef("placed_by"), verified=True)
    by_families = Order.objects.filter(placed_by__is_staff=False, placed_by__is_active=True)
    return pks(by_families.filter(~Exists(confirmed), ~Exists(_changed_by_staff())))


def _nobody_to_sign_in() -> Any:
    ordered = Order.objects.filter(household=OuterRef("pk")).exclude(status=OrderStatus.DRAFT)
    guardians = User.objects.filter(household=OuterRef("pk"))
    return pks(Household.objects.filter(Exists(ordered), ~Exists(guardians)))


INVARIANTS = [
    Invariant("M2", "order lines whose price does not add up", _wrong_net),
    Invariant("M2", "orders whose total is not the sum of their lines", _wrong_total, _wrong_total),
    Invariant("M2", "promo codes used above their limit", _above_the_limit),
    Invariant(
        "M2",
        "uses of a promo code that share a number",
        lambda: twice(PromoRedemption, "promo_code", "number"),
    ),
    Invariant(
        "M2",
        "promo codes used twice for a class",
        lambda: twice(PromoUse, "promo_code", "household", "course"),
    ),
    Invariant("M2", "uses of a promo code for another order, family or class", _used_for_another),
    Invariant("M13", "orders in a state that they cannot be in", *legal(Order, "draft")),
    Invariant("S6", "places without an active order", _place_without_a_right),
    Invariant("S6", "lines of active orders without their place", _order_without_its_places),
    Invariant("S6", "completed orders with places that are not completed", _completed_too_early),
    Invariant("S6", "lines whose place is of another child or class", _other_places),
    Invariant("P1", "order lines for a child of another family", _strangers),
    Invariant("P1", "orders placed by a member of another family", _placed_by_strangers),
    Invariant("P1", "orders by someone who never confirmed their email address", _unconfirmed_addresses),
    Invariant("P1", "families with orders and no one who can sign in", _nobody_to_sign_in),
]
