"""The cart. It lives here and not in `orders`, because its prices depend on what the family has paid."""

import datetime

from django.contrib import messages
from django.db.models import Prefetch, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from billing.checkout.place_order import plans_for
from billing.checkout.siblings import paid_children
from billing.pages.family_orders import open_orders
from csf import clock
from csf.dates import local_date
from enrollments.families.signed_in import household_of, is_too_often
from orders.cart import apply_promo, drop_promo
from orders.forms import PromoForm
from orders.models import OrderItem, PromoCode, cart_of
from orders.prices.quotes import lines_in_cart, overlaps_of, quote
from orders.refusal import OrderRefused


def cart(request: HttpRequest) -> HttpResponse:
    """The cart with its prices; posting puts a promo code on it, or takes it off."""
    household, now = household_of(request), clock.now()
    today = local_date(now)
    form = PromoForm(request.POST if request.method == "POST" else None)
    if "remove" in request.POST:
        drop_promo(cart=cart_of(household))
        return redirect("cart")
    if code := _take_promo(request, form, on=today):
        messages.success(request, f"Promo code {code} was added to your cart.")
        return redirect("cart")
    if not (lines := lines_in_cart(household)):
        return _empty_cart(request, form)
    order, paid = lines[0].order, paid_children(household.pk, on=today)
    prices = quote(order, lines, now=now, paid_children=paid)
    context = {
        "order": order,
        "quote": prices,
        "plans": plans_for(lines, total_cents=prices.total_cents, on=today),
        "overlaps": overlaps_of(lines, household=household, on=today),
        "form": form,
    }
    return render(request, "orders/cart.html", context)


def _empty_cart(request: HttpRequest, form: PromoForm) -> HttpResponse:
    """Its classes may be in an order that waits for payment, which the page shows instead."""
    held = open_orders(request).held
    items = OrderItem.objects.select_related("child", "course")
    prefetch_related_objects([one.order for one in held], Prefetch("items", items))
    return render(request, "orders/cart.html", {"form": form, "held_orders": held, "cart_size": 0})


def _take_promo(request: HttpRequest, form: PromoForm, *, on: datetime.date) -> PromoCode | None:
    """The code that is on the cart now; without one the form says why."""
    if not form.is_valid():
        return None
    if is_too_often(request, "promo_code"):
        form.add_error("code", "That was too many codes. Please wait a minute, then try again.")
        return None
    try:
        return apply_promo(cart=cart_of(household_of(request)), text=form.cleaned_data["code"], on=on)
    except OrderRefused as refusal:
        form.add_error("code", refusal.message)
        return None
