import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from csf.dates import local_date
from enrollments.families import guardian, household_of
from enrollments.models import Course
from orders.cart import add_to_cart, apply_promo, drop_promo, remove_from_cart
from orders.forms import LineForm, PromoForm
from orders.models import OrderItem, cart_of
from orders.quotes import cart_lines, quote
from orders.refusal import Refused


@login_not_required
def catalog(request: HttpRequest) -> HttpResponse:
    courses = Course.objects.for_catalog()
    return render(request, "orders/catalog.html", {"courses": courses, "now": timezone.now()})


@login_not_required
def course(request: HttpRequest, slug: str) -> HttpResponse:
    """The class page, with the form that puts a child into the cart."""
    found = get_object_or_404(Course.objects.for_catalog(), slug=slug)
    parent = guardian(request)
    form = LineForm(request.POST or None, household=household_of(request)) if parent else None
    if request.method == "POST" and form and form.is_valid():
        try:
            add_to_cart(
                household=household_of(request),
                child=form.cleaned_data["child"],
                course=found,
                now=timezone.now(),
            )
        except Refused as refusal:
            form.add_error("child", refusal.message)
        else:
            messages.success(request, f"{form.cleaned_data['child'].first_name} is in the cart for {found}.")
            return redirect("cart")
    context = {
        "course": found,
        "sessions": found.sessions.all(),
        "form": form,
        "is_open": found.is_open_at(timezone.now()),
        "places_left": found.places_left,
    }
    return render(request, "orders/course.html", context)


def cart(request: HttpRequest) -> HttpResponse:
    """The cart with its prices; posting puts a promo code on it, or takes it off."""
    order = cart_of(household_of(request))
    form = PromoForm(request.POST or None)
    today = local_date(timezone.now())
    if request.method == "POST" and "remove" in request.POST:
        drop_promo(cart=order)
        return redirect("cart")
    if request.method == "POST" and form.is_valid():
        try:
            code = apply_promo(cart=order, text=form.cleaned_data["code"], on=today)
        except Refused as refusal:
            form.add_error("code", refusal.message)
        else:
            messages.success(request, f"Promo code {code} is on your cart.")
            return redirect("cart")
    prices = quote(order, cart_lines(order), on=today)
    return render(
        request,
        "orders/cart.html",
        {
            "order": order,
            "items": [line.item for line in prices.lines],
            "quote": prices,
            "total_cents": prices.total_cents,
            "form": form,
        },
    )


@require_POST
def remove_line(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    household = household_of(request)
    item = get_object_or_404(OrderItem, public_id=public_id, order=cart_of(household))
    remove_from_cart(cart=item.order, item=item)
    messages.info(request, f"{item.course} was removed from the cart.")
    return redirect("cart")
