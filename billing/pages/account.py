"""A family's money pages, and the page of one installment that an email links to without a login."""

import uuid
from collections.abc import Callable, Iterable
from datetime import date, timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from billing.checkout.card_page import card_page
from billing.checkout.installment_page import installment_page
from billing.checkout.payable import NotPayable
from billing.installments.card_stops import withdraw
from billing.installments.next_step import charge_day_of_new_card
from billing.installments.statement import card_line, lines_of, statement_of
from billing.ledger.cards import Use, uses_by_card, uses_of, without_valid_card
from billing.ledger.credits import credit_account
from billing.ledger.order_figures import with_figures
from billing.ledger.signed_links import installment_of
from billing.models import Card, CardUpdate, Installment, InstallmentStatus
from billing.models.installments import OPEN_INSTALLMENT
from billing.pages.family_orders import confirming, note_return
from billing.pages.forms import CardUpdateForm
from billing.stripe.page_calls import StripeUnavailable
from csf import clock
from csf.web.own_pages import button_of
from enrollments.classes.waitlist import waiting_places
from enrollments.families.signed_in import guardian, household_of, verified_email_to_post
from enrollments.models import Enrollment, EnrollmentStatus, Household
from orders.models import Order, OrderItem, OrderStatus

PAY_YOURSELF = "When a payment is due, we email you a link to pay it."


def account(request: HttpRequest) -> HttpResponse:
    household, today = household_of(request), clock.today()
    orders, waiting = list(_orders_of(household)), list(waiting_places(household))
    context = {
        "statement": statement_of(orders, on=today),
        "today": today,
        "credit": credit_account(household, on=today),
        "orders": orders,
        "offers": [place for place in waiting if place.status == EnrollmentStatus.OFFERED],
        "waiting": [place for place in waiting if place.status != EnrollmentStatus.OFFERED],
        "uses": [card_line(use, on=today) for use in _uses(orders, waiting)],
        "came_back": _card_update(household, request.GET["saved"]) if "saved" in request.GET else None,
    }
    return render(request, "billing/account.html", context)


def _orders_of(household: Household) -> QuerySet[Order]:
    """With all that the account page shows of them."""
    items = OrderItem.objects.filter(moved_to=None).select_related("child", "course")
    parts = Installment.objects.select_related("payment")
    return with_figures(household.orders.placed()).prefetch_related(
        Prefetch("items", items), Prefetch("installments", parts)
    )


def _uses(orders: Iterable[Order], waiting: Iterable[Enrollment]) -> list[Use]:
    """As `billing.ledger.cards.uses_of`, from rows that are read already."""
    confirmed = [order for order in orders if order.status == OrderStatus.CONFIRMED]
    parts = [part for order in confirmed for part in order.installments.all()]
    return uses_by_card(
        [part for part in parts if part.consent_id and part.status in OPEN_INSTALLMENT],
        [place.waitlist_consent for place in waiting if hasattr(place, "waitlist_consent")],
    )


def _card_update(household: Household, public_id: str) -> CardUpdate | None:
    """Back from the page of Stripe that this id names: the card arrives by webhook."""
    an_hour_ago = clock.now() - timedelta(hours=1)
    updates = household.card_updates.filter(created_at__gt=an_hour_ago)
    return next((update for update in updates if str(update.public_id) == public_id), None)


@button_of("account")
@verified_email_to_post
def pay_own_installment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    own = Installment.objects.filter(order__household=household_of(request))
    installment = get_object_or_404(own.select_related("order__household"), public_id=public_id)
    by, now = guardian(request), clock.now()
    return _to_stripe(request, lambda: installment_page(installment, by=by, now=now), back="account")


@never_cache
@login_not_required
def pay_installment(request: HttpRequest, token: str) -> HttpResponse:
    """Anyone with the link sees this one installment and nothing else of the family."""
    try:
        installment = installment_of(token)
    except (BadSignature, Installment.DoesNotExist):
        return render(request, "billing/bad_link.html", status=404)
    if request.method == "POST":
        now = clock.now()
        return _to_stripe(request, lambda: installment_page(installment, by=None, now=now), back=request.path)
    [line] = lines_of([installment], on=clock.today())
    came_back = "paid" in request.GET and installment.status == InstallmentStatus.CHARGING
    if came_back:
        note_return(request, installment)
    context = {
        "installment": installment,
        "items": installment.order.items.filter(moved_to=None).select_related("child", "course"),
        "state": line.state,
        "is_confirming": came_back and str(installment.public_id) in confirming(request),
    }
    return render(request, "billing/pay_installment.html", context)


@verified_email_to_post
def change_card(request: HttpRequest) -> HttpResponse:
    """Says what another card will pay and when, then leads to Stripe's page that saves it."""
    household, today = household_of(request), clock.today()
    uses = uses_of(household)
    use = _use_to_change(uses, request.GET.get("card", ""), on=today)
    if use is None:
        shown = [card_line(other, on=today) for other in uses]
        return render(request, "billing/choose_card.html", {"uses": shown})
    form = CardUpdateForm(request.POST if request.method == "POST" else None)
    user = guardian(request)
    if user and form.is_valid():
        if form.cleaned_data["fingerprint"] in {"", use.fingerprint}:
            now = form.cleaned_data["charge_now"]
            return _to_stripe(
                request,
                lambda: card_page(household=household, by=user, charge_now=now, use=use),
                back="change_card",
            )
        messages.warning(request, "Something has changed. Please check the list again.")
    lines = [line for line in lines_of(use.installments, on=today) if line.state.can_pay]
    due = [line.installment.amount_cents for line in lines if line.installment.due_on <= today]
    context = {
        "form": form,
        "use": use,
        "charges": [(line, charge_day_of_new_card(line.installment, on=today)) for line in lines],
        "due_cents": sum(due),
        "today": today,
    }
    return render(request, "billing/change_card.html", context)


def stop_card(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Withdraw what was agreed for a card, after saying what follows."""
    household, today = household_of(request), clock.today()
    card = get_object_or_404(household.cards, public_id=public_id)
    user, use = guardian(request), _use_of(card, uses_of(household))
    if use is None:
        messages.info(request, f"{card} will no longer be charged automatically.")
        return redirect("account")
    if user and request.method == "POST" and request.POST.get("fingerprint") == use.fingerprint:
        withdraw(card, by=user)
        messages.success(request, f"{card} will no longer be charged automatically. {PAY_YOURSELF}")
        return redirect("account")
    if request.method == "POST":
        messages.warning(request, "Something has changed. Please check the list again.")
    lines = [line for line in lines_of(use.installments, on=today) if line.state.can_pay]
    context = {"card": card, "use": use, "lines": lines, "pay_yourself": PAY_YOURSELF}
    return render(request, "billing/stop_card.html", context)


def _use_of(card: Card, uses: list[Use]) -> Use | None:
    """What it pays; a card that was saved twice is one card."""
    return next((use for use in uses if use.card and use.card.is_like(card)), None)


def _use_to_change(uses: list[Use], card_id: str, *, on: date) -> Use | None:
    """That of the named card; else what lacks a good card; else of the only card. None: the parent must
    choose."""
    named = [use for use in uses if use.card and str(use.card.public_id) == card_id]
    if named:
        return named[0]
    lacking = without_valid_card(uses, on=on)
    if lacking.installments or lacking.places:
        return lacking
    return uses[0] if len(uses) == 1 else None if uses else lacking


def _to_stripe(request: HttpRequest, page: Callable[[], str], *, back: str) -> HttpResponse:
    try:
        return redirect(page())
    except NotPayable as reason:
        messages.info(request, str(reason))
    except StripeUnavailable as error:
        messages.error(request, str(error.words))
    return redirect(back)
