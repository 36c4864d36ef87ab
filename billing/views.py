import uuid

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from billing import cancel
from billing.checkout import NothingToPay, StripeUnavailable, payment_page, place_order, plans_for
from billing.consent import consent_text
from billing.expiry import Paid, end_unpaid_order
from billing.forms import CancelForm
from billing.models import PaymentPlan
from billing.statement import lines_of
from csf.dates import local_date
from csf.state import Stale
from enrollments.families import address_of, household_of, verified_email_to_post
from enrollments.models import Enrollment, User
from orders.models import Order, OrderStatus
from orders.quotes import cart_lines, quote
from orders.refusal import Refused


@verified_email_to_post
def checkout(request: HttpRequest) -> HttpResponse:
    """Review the cart; placing it leads to the payment page."""
    household = household_of(request)
    if request.method == "POST":
        return _place(request, _own_order(request))
    order = household.orders.carts().first()
    items = cart_lines(order) if order else []
    if order is None or not items:
        return redirect("cart")
    today = local_date(timezone.now())
    prices = quote(order, items, on=today)
    context = {
        "order": order,
        "quote": prices,
        "plans": [
            {"plan": plan, "parts": parts, "consent": consent_text(parts)}
            for plan, parts in plans_for(items, total_cents=prices.total_cents, on=today)
        ],
        "hold_minutes": settings.SEAT_HOLD_MINUTES,
    }
    return render(request, "billing/checkout.html", context)


def _place(request: HttpRequest, order: Order | None) -> HttpResponse:
    if order is None:
        return redirect("cart")
    if order.status != OrderStatus.DRAFT:  # pressed twice, or gone back: the order stands already
        return redirect(order)
    try:
        place_order(
            order=order,
            by=_user(request),
            now=timezone.now(),
            expected_cents=_expected_cents(request),
            plan=_chosen_plan(request),
            address=address_of(request),
        )
    except Refused as refusal:
        order.refresh_from_db()
        if order.status != OrderStatus.DRAFT:
            return redirect(order)
        messages.error(request, refusal.message)
        return redirect("cart")
    return _to_payment(request, order)


@require_POST
@verified_email_to_post
def pay(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _to_payment(request, get_object_or_404(household_of(request).orders.placed(), public_id=public_id))


def _to_payment(request: HttpRequest, order: Order) -> HttpResponse:
    try:
        return redirect(payment_page(order=order, by=_user(request), now=timezone.now()))
    except NothingToPay:
        order.refresh_from_db()
        if order.status == OrderStatus.PLACED:
            messages.warning(request, "These places can no longer be held; please order again.")
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
    orders = household_of(request).orders.placed().with_lines().select_related("consent")
    orders = orders.prefetch_related("installments", "payments")
    found = get_object_or_404(orders, public_id=public_id)
    today = local_date(timezone.now())
    list_cents = sum(item.list_cents or 0 for item in found.items.all())
    context = {
        "order": found,
        "lines": lines_of(found.installments.all(), on=today),
        "payments": found.payments.all(),
        "list_cents": list_cents,
        "discount_cents": list_cents - found.total_cents,
        "today": today,
        "is_waiting_for_stripe": found.status == OrderStatus.PLACED and "paid" in request.GET,
    }
    return render(request, "billing/order.html", context)


def cancel_order(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Give up an order that is not paid yet, after asking."""
    found = get_object_or_404(household_of(request).orders.placed().with_lines(), public_id=public_id)
    if found.status != OrderStatus.PLACED:
        messages.info(request, "This order is not waiting for a payment, so there is nothing to cancel.")
        return redirect(found)
    if request.method == "POST":
        _cancel_unpaid(request, found)
        return redirect(found)
    return render(request, "billing/cancel_order.html", {"order": found})


def _cancel_unpaid(request: HttpRequest, order: Order) -> None:
    try:
        end_unpaid_order(
            order=order, to=OrderStatus.CANCELLED, by=_user(request), reason="cancelled by the family"
        )
    except Paid:
        messages.info(request, "Your payment arrived; the order is confirmed.")
    except StripeUnavailable:
        messages.error(request, "The payment page does not answer just now. Please try again in a moment.")
    except Stale:
        messages.warning(request, "This order changed a moment ago. Please look at it again.")
    else:
        messages.success(request, f"{order} is cancelled and its places are given back.")


def cancel_enrollment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Give up a paid place, after saying what will happen."""
    family = Enrollment.objects.filter(order_item__order__household=household_of(request))
    found = get_object_or_404(
        family.select_related("child", "course__location", "order_item__order"), public_id=public_id
    )
    form = CancelForm(request.POST if request.method == "POST" else None)
    if not found.can_be_given_up(local_date(timezone.now())):
        messages.info(request, f"There is no place in {found.course} to give up any more.")
        return redirect(found.order_item.order)
    if form.is_valid():
        _give_up(request, found, reason=form.cleaned_data["reason"])
        return redirect(found.order_item.order)
    return render(request, "billing/cancel_enrollment.html", {"enrollment": found, "form": form})


def _give_up(request: HttpRequest, enrollment: Enrollment, *, reason: str) -> None:
    try:
        cancel.cancel_enrollment(
            enrollment=enrollment, by=_user(request), reason=reason or "cancelled by the family"
        )
    except Stale:
        messages.warning(request, "This place changed a moment ago. Please look at the order again.")
    else:
        messages.success(
            request,
            f"{enrollment.child.first_name} is no longer enrolled in {enrollment.course}. "
            "The office will contact you.",
        )


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _chosen_plan(request: HttpRequest) -> PaymentPlan | None:
    """None is "pay in full". Raises Refused for a plan that is not offered."""
    chosen = request.POST.get("plan", "")
    if not chosen:
        return None
    plans = {str(plan.pk): plan for plan in PaymentPlan.objects.filter(is_active=True)}
    if chosen not in plans:
        raise Refused("This payment plan is not offered any more. Please choose again.")
    return plans[chosen]


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
