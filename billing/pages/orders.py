import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Exists, OuterRef, Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from billing.changes import cancellation, seat_release
from billing.checkout.holds import Paid, end_unpaid_order
from billing.checkout.payment_page import BeingCharged, NothingToPay, payment_page
from billing.checkout.place_order import place_order, plans_for
from billing.checkout.siblings import paid_children
from billing.installments.statement import lines_of
from billing.ledger.cards import other_orders
from billing.ledger.consent import consent_text
from billing.ledger.credits import credit_choice, ends_of, spent_cents
from billing.ledger.order_figures import figures_of, with_figures
from billing.ledger.refunds import is_within_rule
from billing.models import Installment, PaymentPlan, Terms
from billing.pages.family_orders import confirming, note_return
from billing.pages.forms import CancelForm
from billing.pages.order_changes import cancelled_text, changes_of
from billing.stripe.page_calls import PageRefused, StripeUnavailable
from csf import clock
from csf.dates import local_date
from csf.state import Stale
from csf.web.own_pages import button_of
from enrollments.families.signed_in import address_of, household_of, verified_email_to_post
from enrollments.models import Enrollment, User
from orders.models import Order, OrderItem, OrderStatus
from orders.prices.quotes import Quote, lines_in_cart, overlaps_of, quote
from orders.refusal import OrderRefused

NO_AMOUNT = -1  # no price is


@verified_email_to_post
def checkout(request: HttpRequest) -> HttpResponse:
    """Review the cart; placing it leads to the payment page."""
    household = household_of(request)
    if request.method == "POST":
        return _place(request, _own_order(request))
    if not (items := lines_in_cart(household)):
        return redirect("cart")
    order, now = items[0].order, clock.now()
    paid = paid_children(household.pk, on=local_date(now))
    prices = quote(order, items, now=now, paid_children=paid)
    context = checkout_context(request, items, prices)
    return render(request, "billing/checkout.html", context | {"order": order})


def checkout_context(request: HttpRequest, items: Sequence[OrderItem], prices: Quote) -> dict[str, Any]:
    """What the checkout page shows of these lines, and the ways to pay them. With `?credit=no` the family
    keeps its credit for another time."""
    today = clock.today()
    credit = credit_choice(
        household_of(request),
        total_cents=prices.total_cents,
        on=today,
        is_used=request.GET.get("credit") != "no",
    )
    others = other_orders(household_of(request))
    return {
        "quote": prices,
        "overlaps": overlaps_of(items, household=household_of(request), on=today),
        "credit": credit,
        "plans": [
            {"plan": plan, "parts": parts, "consent": consent_text(parts, may_tick=bool(others))}
            for plan, parts in plans_for(items, total_cents=credit.due_cents, on=today)
            if credit.due_cents
        ],
        "other_orders": others,
        "hold_minutes": settings.SEAT_HOLD_MINUTES,
    }


def _place(request: HttpRequest, order: Order | None) -> HttpResponse:
    if order is None:
        return redirect("cart")
    if order.status != OrderStatus.DRAFT:  # pressed twice, or gone back: the order is already placed
        return redirect(order)
    now = clock.now()
    try:
        place_order(order=order, by=_user(request), now=now, **chosen(request))
    except OrderRefused as refusal:
        order.refresh_from_db()
        if order.status != OrderStatus.DRAFT:
            return redirect(order)
        messages.error(request, refusal.message)
        return redirect("cart")
    return to_payment(request, order, now=now)


def chosen(request: HttpRequest) -> dict[str, Any]:
    """How the parent wants to pay, as `place_order` takes it. Raises OrderRefused."""
    return {
        "expected_cents": _cents(request, "total"),
        "use_credit": request.POST.get("credit") == "yes",
        "expected_due_cents": _cents(request, "due"),
        "plan": _chosen_plan(request),
        "other_orders": _ticked_orders(request),
        "address": address_of(request),
    }


@button_of("account")
@verified_email_to_post
def pay(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    order = get_object_or_404(household_of(request).orders.placed(), public_id=public_id)
    return to_payment(request, order, now=clock.now())


def to_payment(request: HttpRequest, order: Order, *, now: datetime.datetime) -> HttpResponse:
    """An order that was placed `now` is held long enough for its page, and need not be extended."""
    try:
        return redirect(payment_page(order=order, by=_user(request), now=now))
    except BeingCharged:
        messages.info(request, "Your saved card is being charged right now. Please check again in a minute.")
        return redirect(order)
    except NothingToPay:
        order.refresh_from_db()
        if order.status == OrderStatus.PLACED:
            messages.warning(request, "These places can no longer be held; please order again.")
        return redirect(order)
    except PageRefused as refused:
        messages.error(request, str(refused.words))
        return redirect(order)
    except StripeUnavailable:
        messages.error(
            request,
            "The payment page is not responding right now. Your places are held; "
            "please press the button again in a moment.",
        )
        return redirect(order)


def order(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Only reads: what the payment page did arrives by webhook, so this page reloads itself until it is
    here."""
    others = User.objects.filter(household=OuterRef("household"), is_active=True).exclude(
        pk=_user(request).pk
    )
    orders = with_figures(household_of(request).orders.placed().with_lines()).prefetch_related(
        Prefetch("installments", Installment.objects.select_related("consent")), "payments"
    )
    found = get_object_or_404(orders.annotate(has_other_guardian=Exists(others)), public_id=public_id)
    today, parts = clock.today(), found.installments.all()
    # A line that a child moved to has its own price; the total is what was agreed at placing.
    lines = [item for item in found.items.all() if not item.moved_from_id]
    list_cents = sum(item.list_cents or 0 for item in lines)
    came_back = found.status == OrderStatus.PLACED and "paid" in request.GET
    if came_back:
        note_return(request, found)
    changes = changes_of(found)
    used_cents = spent_cents(changes.credits)
    context = {
        "order": found,
        "items": lines,
        "moved_items": [item for item in found.items.all() if item.moved_from_id],
        "spent_cents": used_cents,
        "due_cents": found.total_cents - used_cents,
        "lines": lines_of(parts, on=today),
        "payments": found.payments.all(),
        "consents": sorted({part.consent for part in parts if part.consent}, key=lambda one: one.given_at),
        "changes": changes,
        "figures": figures_of(found) if found.status != OrderStatus.PLACED else {},
        "list_cents": list_cents,
        "discount_cents": list_cents - found.total_cents,
        "today": today,
        "refund_until": cancellation.refund_until(found),
        "is_only_guardian": not found.has_other_guardian,  # type: ignore[attr-defined] # annotated
        "came_back": came_back,
        "is_waiting_for_stripe": came_back and str(found.public_id) in confirming(request),
    }
    return render(request, "billing/order.html", context)


def cancel_order(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Cancel an order that is not paid yet, after asking."""
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
    except StripeUnavailable as error:
        messages.error(request, str(error.words))
    except Stale:
        messages.warning(request, "This order changed a moment ago. Please check it again.")
    else:
        messages.success(request, f"{order} is cancelled, and its places have been released.")


def cancel_enrollment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Cancel a paid place, after saying what will happen."""
    found = _own_place(request, public_id)
    form = CancelForm(request.POST if request.method == "POST" else None)
    if not found.can_be_given_up(clock.today()):
        messages.info(request, f"There is no longer a place in {found.course} to cancel.")
        return redirect(found.order_item.order)
    if form.is_valid() and _give_up(request, found, reason=form.cleaned_data["reason"]):
        return redirect(found.order_item.order)
    outcome = cancellation.outcome_of(enrollment=found, now=clock.now())
    context = {
        "enrollment": found,
        "form": form,
        "outcome": outcome,
        "today": clock.today(),
        "by_rule": is_within_rule(found.order_item.order, more_cents=outcome.reduction.refund_cents),
        "credit_until": _credit_until(outcome),
    }
    return render(request, "billing/cancel_enrollment.html", context)


def _credit_until(outcome: cancellation.Outcome) -> datetime.date | None:
    """The last day on which all of the credit that it would bring can be spent; None if it never ends."""
    reduction, on = outcome.reduction, clock.today()
    ends = ends_of(
        outcome.item.order, cents=reduction.credit_cents, on=on, refund_cents=reduction.refund_cents
    )
    return min((end for end, _ in ends if end), default=None)


def _give_up(request: HttpRequest, enrollment: Enrollment, *, reason: str) -> bool:
    """False if the page must be shown again, with other figures."""
    try:
        done = cancellation.cancel_enrollment(
            enrollment=enrollment,
            by=_user(request),
            reason=reason or "cancelled by the family",
            now=clock.now(),
            fingerprint=request.POST.get("fingerprint", ""),
        )
    except cancellation.OutcomeChanged:
        messages.warning(
            request,
            "Something has changed. Nothing has been cancelled yet, so please check again.",
        )
        return False
    except Stale:
        messages.warning(request, "This place changed a moment ago. Please check the order again.")
    else:
        messages.success(request, cancelled_text(done))
    return True


def offer_place(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Offer a paid place to the waitlist, after saying what that means."""
    found, now = _own_place(request, public_id), clock.now()
    if not seat_release.can_be_offered(found, now=now):
        messages.info(request, f"The place in {found.course} cannot be offered to the waitlist now.")
        return redirect(found.order_item.order)
    if request.method == "POST":
        try:
            seat_release.offer_to_waitlist(found, by=_user(request), now=now)
        except Stale:
            messages.warning(request, "This place changed a moment ago. Please check the order again.")
        else:
            messages.success(request, "The place is on offer. We will email you as soon as someone takes it.")
        return redirect(found.order_item.order)
    context = {
        "enrollment": found,
        "outcome": cancellation.outcome_of(enrollment=found, now=now, terms=Terms.PRORATED_REFUND),
        "waiting": found.course.enrollments.waitlisted().count(),
    }
    return render(request, "billing/offer_place.html", context)


@button_of("account")
def keep_place(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    found = _own_place(request, public_id)
    try:
        seat_release.keep(found, by=_user(request))
    except Stale:
        messages.warning(
            request,
            "Someone on the waitlist is deciding whether to take this place. Please try again later.",
        )
    else:
        messages.success(request, f"{found.child.first_name} keeps the place in {found.course}.")
    return redirect(found.order_item.order)


def _own_place(request: HttpRequest, public_id: uuid.UUID) -> Enrollment:
    family = Enrollment.objects.filter(order_item__order__household=household_of(request))
    found = family.select_related("child", "course__location", "order_item__order")
    return get_object_or_404(found, public_id=public_id)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _chosen_plan(request: HttpRequest) -> PaymentPlan | None:
    """None is "pay in full". Raises OrderRefused for a plan that is not offered."""
    chosen = request.POST.get("plan", "")
    if not chosen:
        return None
    plans = {str(plan.pk): plan for plan in PaymentPlan.objects.filter(is_active=True)}
    if chosen not in plans:
        raise OrderRefused("This payment plan is no longer available. Please choose again.")
    return plans[chosen]


def _ticked_orders(request: HttpRequest) -> list[Order]:
    """Other orders that this one's card is to pay as well. Raises OrderRefused for one that is not open."""
    if not (ticked := request.POST.getlist("other_order")):
        return []
    offered = {str(order.public_id): order for order, *_ in other_orders(household_of(request))}
    if any(public_id not in offered for public_id in ticked):
        raise OrderRefused("The amounts left on your other orders have changed. Please choose again.")
    return [offered[public_id] for public_id in dict.fromkeys(ticked)]


def _cents(request: HttpRequest, name: str) -> int | None:
    """An amount that the checkout page showed; None if the form does not say. What is no amount equals none:
    the parent is asked to look at the price again."""
    text = request.POST.get(name)
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else NO_AMOUNT


def _own_order(request: HttpRequest) -> Order | None:
    """The order that the form names, of this household; None if there is no such order."""
    try:
        public_id = uuid.UUID(request.POST.get("order", ""))
    except ValueError:
        return None
    return household_of(request).orders.filter(public_id=public_id).first()
