import uuid

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing.checkout import NothingToPay, StripeUnavailable, payment_page, place_order
from csf.dates import local_date
from enrollments.families import household_of
from enrollments.models import User
from orders.models import Order, OrderStatus, cart_of
from orders.quotes import cart_lines, quote
from orders.refusal import Refused


def checkout(request: HttpRequest) -> HttpResponse:
    """Review the cart; placing it leads to the payment page."""
    household = household_of(request)
    if request.method == "POST":
        return _place(request, _own_order(request))
    order = cart_of(household)
    items = cart_lines(order)
    if not items:
        return redirect("cart")
    prices = quote(order, items, on=local_date(timezone.now()))
    return render(
        request,
        "billing/checkout.html",
        {"order": order, "items": items, "quote": prices, "total_cents": prices.total_cents},
    )


def _place(request: HttpRequest, order: Order | None) -> HttpResponse:
    if order is None:
        return redirect("cart")
    if order.status != OrderStatus.DRAFT:  # pressed twice, or gone back: the order stands already
        return redirect(order)
    try:
        place_order(
            order=order, by=_user(request), now=timezone.now(), expected_cents=_expected_cents(request)
        )
    except Refused as refusal:
        order.refresh_from_db()
        if order.status != OrderStatus.DRAFT:
            return redirect(order)
        messages.error(request, refusal.message)
        return redirect("cart")
    return _to_payment(request, order)


@require_POST
def pay(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _to_payment(request, get_object_or_404(household_of(request).orders.placed(), public_id=public_id))


def _to_payment(request: HttpRequest, order: Order) -> HttpResponse:
    try:
        return redirect(payment_page(order=order, by=_user(request), now=timezone.now()))
    except NothingToPay:
        return redirect(order)
    except StripeUnavailable:
        messages.error(
            request,
            "The payment page does not answer just now. Your seats are held; "
            "please press “Pay now” again in a moment.",
        )
        return redirect(order)


def order(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Only reads: what the payment page did arrives by webhook, so this page reloads itself until it is
    here."""
    orders = household_of(request).orders.placed().with_lines().prefetch_related("installments", "payments")
    found = get_object_or_404(orders, public_id=public_id)
    context = {
        "order": found,
        "installments": found.installments.all(),
        "payments": found.payments.all(),
        "is_waiting_for_stripe": found.status == OrderStatus.PLACED and "paid" in request.GET,
    }
    return render(request, "billing/order.html", context)


def account(request: HttpRequest) -> HttpResponse:
    orders = household_of(request).orders.placed().with_lines()
    return render(request, "billing/account.html", {"orders": orders})


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _expected_cents(request: HttpRequest) -> int | None:
    """The total that the checkout page showed; None if the form does not say."""
    text = request.POST.get("total", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _own_order(request: HttpRequest) -> Order | None:
    """The order that the form names, of this household; None if there is no such order."""
    try:
        public_id = uuid.UUID(request.POST.get("order", ""))
    except ValueError:
        return None
    return household_of(request).orders.filter(public_id=public_id).first()
