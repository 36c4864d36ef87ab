"""Price, paid, given back, refunds pending and open: the same figures on every page, and they add up."""

import re
from html import unescape

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.changes.transfer import transfer
from billing.checkout.holds import end_unpaid_order
from billing.checkout.place_order import place_order
from billing.installments.staff_actions import record_offline, waive
from billing.ledger.credits import grant
from billing.ledger.disputes import settle_dispute
from billing.ledger.order_figures import COLUMNS, figures_of, with_figures
from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund, reject
from billing.models import CreditCause, PaymentMethod, PaymentPlan, Refund
from csf.dates import local_date
from enrollments.models import Enrollment
from orders.models import Order, OrderStatus
from tests.factories import create_cart, create_course, create_household, create_staff
from tests.pages import parent_of, words
from tests.shop import hear, open_page


@pytest.fixture
def sold(shop):
    """An order of one class for 120.00, its first part paid."""
    return lambda parts=1, pay=True: _sell(shop, parts, pay)


def _sell(shop, parts, pay):
    plan = PaymentPlan.objects.create(name=f"{parts} parts", parts=parts) if parts > 1 else None
    order = create_cart(courses=[create_course(sessions=10, price_cents=12_000)])
    place_order(order=order, by=order.household.guardians.get(), now=timezone.now(), plan=plan)
    if pay:
        shop.pay(open_page(order))
        hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    return order


def text(answer):
    """All words of a staff page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def shown(order):
    return figures_of(with_figures(Order.objects.filter(pk=order.pk)).get())


def place(order):
    return Enrollment.objects.get(order_item__order=order, status="active")


def move(order, price_cents):
    course = create_course(sessions=10, price_cents=price_cents)
    transfer(enrollment=place(order), course=course, by=create_staff(), reason="asked", now=timezone.now())


def cancel(order):
    cancel_enrollment(enrollment=place(order), by=create_staff(), reason="ill", now=timezone.now())


def refund(order, cents=2_000):
    return ask_for_refund(payment=order.payments.first(), cents=cents, reason="kind", by=create_staff())


def send_refunds(order):
    for asked in Refund.objects.filter(order=order, status="requested"):
        approve(refund=asked, by=create_staff())
    refund_waiting()


def waive_rest(order):
    waive(installment=order.installments.open().get(), by=create_staff(), reason="hardship")


def pay_cash(order):
    record_offline(
        installment=order.installments.open().get(),
        by=create_staff(),
        reason="at the desk",
        method=PaymentMethod.CASH,
        received_at=timezone.now(),
    )


def expire(order):
    end_unpaid_order(order=order, to=OrderStatus.EXPIRED, by=None, reason="nobody paid")


def said_no(order):
    reject(refund=refund(order), by=create_staff(), reason="no")


def lose_dispute(order):
    told = {"id": "du_1", "amount": 12_000, "currency": "usd", "reason": "fraudulent", "status": "lost"}
    settle_dispute(told | {"created": int(timezone.now().timestamp())}, order.payments.get())


def move_then_cancel(order):
    move(order, 17_400)
    cancel(order)


LOST_LATER = (10_000, 12_000, 2_000, 0, 0)
#  price, paid, given back, refunds pending, open, in cents
ACTS = [
    ("held", {"pay": False}, None, (12_000, 0, 0, 0, 12_000), "unpaid"),
    ("expired", {"pay": False}, expire, (0, 0, 0, 0, 0), "nothing to pay"),
    ("paid in full", {}, None, (12_000, 12_000, 0, 0, 0), "paid"),
    ("paid in part", {"parts": 2}, None, (12_000, 6_000, 0, 0, 6_000), "partly paid"),
    ("the rest in cash", {"parts": 2}, pay_cash, (12_000, 12_000, 0, 0, 0), "paid"),
    ("the rest waived", {"parts": 2}, waive_rest, (6_000, 6_000, 0, 0, 0), "paid"),
    ("moved up", {}, lambda o: move(o, 17_400), (17_400, 12_000, 0, 0, 5_400), "partly paid"),
    ("moved up, plan", {"parts": 2}, lambda o: move(o, 17_400), (17_400, 6_000, 0, 0, 11_400), "partly paid"),
    ("moved down", {}, lambda o: move(o, 8_000), (8_000, 12_000, 4_000, 0, 0), "paid"),
    ("moved down, plan", {"parts": 2}, lambda o: move(o, 8_000), (8_000, 6_000, 0, 0, 2_000), "partly paid"),
    ("cancelled", {}, cancel, (0, 12_000, 0, 12_000, 0), "refund waiting"),
    ("cancelled, plan", {"parts": 2}, cancel, (0, 6_000, 0, 6_000, 0), "refund waiting"),
    ("cancelled and sent", {}, [cancel, send_refunds], (0, 12_000, 12_000, 0, 0), "refunded"),
    ("moved up and cancelled", {}, move_then_cancel, (0, 12_000, 0, 12_000, 0), "refund waiting"),
    ("goodwill asked for", {}, refund, (10_000, 12_000, 0, 2_000, 0), "refund waiting"),
    ("goodwill sent", {}, [refund, send_refunds], (10_000, 12_000, 2_000, 0, 0), "paid"),
    ("goodwill rejected", {}, said_no, (12_000, 12_000, 0, 0, 0), "paid"),
    ("dispute lost", {}, lose_dispute, (12_000, 12_000, 0, 0, 0), "dispute lost"),
    ("dispute lost after a refund", {}, [refund, send_refunds, lose_dispute], LOST_LATER, "dispute lost"),
]


@pytest.mark.parametrize(
    ("options", "acts", "figures", "badge"), [row[1:] for row in ACTS], ids=[row[0] for row in ACTS]
)
def test_the_figures_after_each_act_add_up_and_are_the_same_everywhere(
    sold, client, options, acts, figures, badge
):
    order = sold(**options)
    for act in acts if isinstance(acts, list) else [acts] if acts else []:
        act(order)

    found = with_figures(Order.objects.all()).get()

    price, paid, back, pending, still_open = (getattr(found, name) for name in COLUMNS)
    assert (price, paid, back, pending, still_open) == figures
    assert price == paid - back - pending + still_open
    client.force_login(create_staff())
    row = "".join(f"${cents / 100:,.2f} " for cents in figures) + badge
    for model, page in [("orders_order", None), ("enrollments_household", order.household_id)]:
        url = reverse(f"admin:{model}_{'change' if page else 'changelist'}", args=[page] if page else [])
        assert row in text(client.get(url)), url
    shown = text(client.get(reverse("admin:orders_order_change", args=[order.pk])))
    assert all(f"${cents / 100:,.2f}" in shown for cents in figures)
    parent = words(parent_of(order.household).get(order.get_absolute_url()))
    if order.status != OrderStatus.PLACED:
        assert all(f"{name} ${cents / 100:,.2f}" in parent for name, cents in figures_of(found).items())


def test_each_state_of_a_refund_and_a_loss_has_its_own_name(sold):
    order = sold()
    paid = {"Paid": 12_000, "Left to pay": 0}

    asked = refund(order)
    assert shown(order) == paid | {"Price": 10_000, "Refund awaiting approval": 2_000}
    approve(refund=asked, by=create_staff())
    assert shown(order) == paid | {"Price": 10_000, "Refund on its way": 2_000}
    refund_waiting()
    assert shown(order) == paid | {"Price": 10_000, "Refunded": 2_000}

    other = sold()
    lose_dispute(other)
    assert shown(other) == paid | {"Price": 12_000, "Taken back by the bank": 12_000}


def test_credit_that_was_spent_counts_as_paid(db):
    household = create_household()
    today = local_date(timezone.now())
    staff = create_staff()
    grant(household=household, cents=5_000, cause=CreditCause.GRANTED, reason="x", on=today, by=staff)
    order = create_cart(household=household, courses=[create_course(price_cents=12_000)])
    place_order(order=order, by=household.guardians.get(), now=timezone.now(), use_credit=True)

    assert shown(order) == {"Price": 12_000, "Paid": 5_000, "Left to pay": 7_000}

    expire(order)
    assert shown(order) == {"Price": 0, "Paid": 0, "Left to pay": 0}


def test_what_was_paid_lately_is_less_what_went_back(sold, client):
    order = sold()
    client.force_login(create_staff())

    def tile():
        tiles = client.get(reverse("admin:index")).context["tiles"]
        return next((tile.value, tile.note) for tile in tiles if tile.title.startswith("Paid in the last"))

    assert tile()[0] == "$120.00"
    refund(order)
    assert tile()[0] == "$120.00"
    send_refunds(order)
    assert tile()[0] == "$100.00"
    assert tile()[1].endswith("less $20.00 refunded")


def test_the_list_of_orders_takes_as_many_statements_for_more_rows(rf, db, django_assert_num_queries):
    for _ in range(3):
        place_order(order=(order := create_cart()), by=order.household.guardians.get(), now=timezone.now())
    request = rf.get("/")
    request.user = create_staff()

    with django_assert_num_queries(1):
        assert len(admin.site.get_model_admin(Order).get_queryset(request)) == 3
