"""The money pages of a family, and the page of one installment that a mail leads to without a login."""

import uuid
from collections.abc import Callable
from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from billing.checkout import StripeUnavailable
from billing.credits import credit_account
from billing.forms import CardUpdateForm
from billing.links import installment_of
from billing.models import Card, Installment
from billing.paying import NotPayable, card_page, invoice_page, next_charge_on
from billing.statement import state_of, statement_of
from csf.dates import local_date
from enrollments.families import guardian, household_of, verified_email_to_post
from enrollments.models import Household
from enrollments.waitlist import waiting_places

EXPIRES_SOON = timedelta(days=60)
STRIPE_AWAY = "The payment page does not answer just now. Nothing is lost; please try again in a moment."


def account(request: HttpRequest) -> HttpResponse:
    household, today = household_of(request), local_date(timezone.now())
    card = Card.objects.filter(household=household, replaced_at=None).first()
    context = {
        "statement": statement_of(household, on=today),
        "today": today,
        "credit": credit_account(household, on=today),
        "orders": household.orders.placed().with_lines(),
        "waiting": waiting_places(household),
        "card": card,
        "card_is_expired": card and card.expires_before(today),
        "card_expires_soon": card and card.expires_before(today + EXPIRES_SOON),
        "is_card_awaited": "saved" in request.GET and _is_card_awaited(household),
    }
    return render(request, "billing/account.html", context)


def _is_card_awaited(household: Household) -> bool:
    """Back from Stripe's page: the card arrives by webhook."""
    an_hour_ago = timezone.now() - timedelta(hours=1)
    return household.card_updates.filter(finished_at=None, created_at__gt=an_hour_ago).exists()


@require_POST
@verified_email_to_post
def pay_own_installment(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    own = Installment.objects.filter(order__household=household_of(request))
    installment = get_object_or_404(own.select_related("order__household"), public_id=public_id)
    return _to_stripe(request, lambda: invoice_page(installment), back="account")


@never_cache
@login_not_required
def pay_installment(request: HttpRequest, token: str) -> HttpResponse:
    """Whoever has the link sees this one installment and nothing else of the family."""
    try:
        installment = installment_of(token)
    except (BadSignature, Installment.DoesNotExist):
        return render(request, "billing/bad_link.html", status=404)
    if request.method == "POST":
        return _to_stripe(request, lambda: invoice_page(installment), back=request.path)
    context = {
        "installment": installment,
        "items": installment.order.items.filter(moved_to=None).select_related("child", "course"),
        "state": state_of(installment, on=local_date(timezone.now())),
    }
    return render(request, "billing/pay_installment.html", context)


@verified_email_to_post
def change_card(request: HttpRequest) -> HttpResponse:
    """Says what another card will pay and when, then leads to Stripe's page that saves it."""
    household, today = household_of(request), local_date(timezone.now())
    form = CardUpdateForm(request.POST if request.method == "POST" else None)
    user = guardian(request)
    if user and form.is_valid():
        now = form.cleaned_data["charge_now"]
        return _to_stripe(
            request, lambda: card_page(household=household, by=user, charge_now=now), back="change_card"
        )
    statement = statement_of(household, on=today)
    unpaid = [line for line in [*statement.due, *statement.coming] if line.state.can_pay]
    context = {
        "form": form,
        "charges": [(line, next_charge_on(line.installment, on=today)) for line in unpaid],
        "due_cents": sum(line.installment.amount_cents for line in statement.due if line.state.can_pay),
        "today": today,
    }
    return render(request, "billing/change_card.html", context)


def _to_stripe(request: HttpRequest, page: Callable[[], str], *, back: str) -> HttpResponse:
    try:
        return redirect(page())
    except NotPayable as reason:
        messages.info(request, str(reason))
    except StripeUnavailable:
        messages.error(request, STRIPE_AWAY)
    return redirect(back)
