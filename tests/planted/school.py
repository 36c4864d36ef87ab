"""A school with a bit of everything, and the means to write a story of its rows that no code would."""

from datetime import timedelta

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.holds import expire_holds
from billing.checkout.place_order import place_order
from billing.installments.dunning import start_charges
from billing.ledger.credits import grant
from billing.ledger.disputes import settle_dispute
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve
from billing.models import Installment, Payment, PaymentPlan
from csf.clock import Now
from csf.dates import local_date
from enrollments.models import Course, Enrollment, Household, User
from notifications.sending.drain import drain
from orders.cart import add_to_cart
from orders.models import Order, PromoCode, cart_of
from tests.factories import create_cart, create_course, create_household, create_order, create_staff
from tests.shop import charge, hear, open_page, script

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAMILIES = "Paid Given Unpaid Dunned Promo Late Disputed First Second".split()


def build(shop):
    """Nine families, each named after what happened to its order; all their emails are sent."""
    shared = create_course(price_cents=14400)
    _paid(shop)
    _given_up(shop, shared)
    _dunned(shop)
    _disputed(shop, shared)
    _reduced(shop)
    _expired()
    order = create_order(household=create_household(name="Unpaid"))
    open_page(order)
    _waiting()
    grant(
        household=family("Paid"), cents=500, cause="granted", reason="a gift", on=today(), by=create_staff()
    )
    drain()


def _paid(shop):
    """In two parts: the first on the page, the second from the saved card. Two children, of which one has
    both classes."""
    household = create_household(name="Paid", children=2)
    order = _in_parts(shop, household, 2, courses=[create_course(), create_course()])
    start_charges(["scheduled"], on=order.installments.get(number=2).due_on)
    charge()
    hear(shop, "invoice.paid")


def _in_parts(shop, household, parts, courses=None):
    plan, _ = PaymentPlan.objects.get_or_create(name=f"{parts} parts", parts=parts)
    order = create_cart(household=household, courses=courses)
    place_order(order=order, by=household.lead, now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")
    return order


def _given_up(shop, course):
    """Its only class was cancelled, and the money went back."""
    order = create_order(household=create_household(name="Given"), courses=[course])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    place = Enrollment.objects.get(order_item__order=order)
    cancel_enrollment(enrollment=place, by=create_staff(), reason="moved away", now=timezone.now())
    approve(refund=order.refunds.get(), by=create_staff())
    refund_waiting()


def _dunned(shop):
    """Of three parts the second was declined and is tried again, and the third is still to come."""
    order = _in_parts(shop, create_household(name="Dunned"), 3)
    second = order.installments.get(number=2)
    script(shop, second, "insufficient_funds")
    start_charges(["scheduled"], on=second.due_on)
    charge()


def _disputed(shop, course):
    order = create_order(household=create_household(name="Disputed"), courses=[course])
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    told = {
        "id": "du_1",
        "amount": 14400,
        "currency": "usd",
        "reason": "fraudulent",
        "status": "needs_response",
    }
    settle_dispute(told | {"created": int(timezone.now().timestamp())}, order.payments.get())


def _reduced(shop):
    """Two children in a class each, both reduced by a promo code."""
    household = create_household(name="Promo", children=2)
    code = PromoCode.objects.create(code="EARLY", percent_bps=1000, max_orders=5)
    for child in household.children.all():
        add_to_cart(household=household, child=child, course=create_course(), now=timezone.now())
    order = cart_of(household)
    Order.objects.filter(pk=order.pk).update(promo_code=code)
    place_order(order=cart_of(household), by=household.lead, now=timezone.now())
    shop.pay(open_page(Order.objects.get(pk=order.pk)))
    hear(shop, "payment_intent.succeeded")


def _expired():
    create_order(household=create_household(name="Late"))
    expire_holds(now=timezone.now() + HOUR)


def _waiting():
    """For the one seat of a class, which somebody has got for nothing."""
    course = create_course(capacity=1, price_cents=0)
    create_order(household=create_household(name="Seated"), courses=[course])
    for name, days in (("First", 2), ("Second", 1)):
        place = Enrollment(
            child=create_household(name=name).children.get(), course=course, status="waitlisted"
        )
        place.tier, place.joined_at = "regular", timezone.now() - days * DAY
        place.save()
        place.enter_line("regular", at=place.joined_at, by=None, reason="joined")


# --- Who is who ---------------------------------------------------------------------------------------------


def today():
    return local_date(timezone.now())


def family(name):
    return Household.objects.get(name=f"{name} family")


def guardian(name):
    return User.objects.get(household=family(name))


def order_of(name):
    return Order.objects.exclude(status="draft").get(household=family(name))


def payments_of(name):
    return Payment.objects.filter(order=order_of(name))


def part(name, number):
    return Installment.objects.get(order=order_of(name), number=number)


def places(name):
    return Enrollment.objects.filter(child__household=family(name)).order_by("pk")


def full_class():
    return Course.objects.get(capacity=1)


# --- Stories ------------------------------------------------------------------------------------------------


def sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def without_trigger(rows, **values):
    """Change facts, or places against the guard of their class."""
    table = rows.model._meta.db_table
    sql("SET CONSTRAINTS ALL IMMEDIATE", f"ALTER TABLE {table} DISABLE TRIGGER USER")
    changed = rows.update(**values) if values else rows._raw_delete(rows.db)
    sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    assert changed


def drop(model, *columns):
    """Each constraint and unique index of a table whose definition names one of these columns."""
    table = model._meta.db_table
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = %s::regclass AND contype IN ('c', 'u')",
            [table],
        )
        named = [name for name, words in cursor.fetchall() if any(column in words for column in columns)]
        for name in named:
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
        unique = [
            name
            for name, words in cursor.fetchall()
            if "UNIQUE" in words and "_pkey" not in name and any(column in words for column in columns)
        ]
        for name in unique:
            cursor.execute(f'DROP INDEX "{name}"')
    assert named or unique


def move(row, *path, ago=None, **columns):
    """Bring a row to the last of these statuses, with a history as its own code would have written."""
    history = type(row).transitions.rel.related_model
    for to in path:
        assert to in row.EDGES.get(row.status, ()), f"{row.status} -> {to}"
        when = {"created_at": Now() - ago} if ago else {}
        history.objects.create(
            **{row._meta.model_name: row}, from_status=row.status, to_status=to, reason="a test", **when
        )
        row.status = to
    change(row, status=row.status, **columns)


def change(row, **columns):
    assert type(row).objects.filter(pk=row.pk).update(**columns)
    for name, value in columns.items():
        setattr(row, name, value)


def note_change_by_staff(user):
    """As the staff site logs it, a moment later than all else here."""
    LogEntry.objects.create(
        user=create_staff(),
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(user.pk),
        object_repr="-",
        action_flag=CHANGE,
        action_time=timezone.now() + HOUR,
    )
