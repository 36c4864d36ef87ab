"""Joining and leaving a waitlist, and the pages of a seat that is offered from it."""

import uuid
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.signing import BadSignature
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from billing.changes.waitlist import accept_offer, join_waitlist, price_cents, price_of
from billing.checkout.card_page import card_page
from billing.ledger.cards import Use, chargeable_cards
from billing.ledger.consent import waitlist_consent_text
from billing.ledger.signed_links import offer_of
from billing.models import Card, WaitlistConsent
from billing.pages.forms import WaitlistForm
from billing.pages.orders import checkout_context, chosen, to_payment
from billing.stripe.page_calls import StripeUnavailable
from csf import clock
from csf.dates import local_date
from csf.state import Stale
from csf.web.own_pages import button_of
from enrollments.classes.waitlist import LEFT_BY_FAMILY, leave
from enrollments.families.signed_in import address_of, guardian, household_of, verified_email_to_post
from enrollments.models import Child, Course, Enrollment, EnrollmentStatus, User, WaitlistTier
from enrollments.models.seats import WAITING
from orders.refusal import OrderRefused
from orders.waitlist import waitlist_line


@dataclass(frozen=True)
class Terms:
    """What the parent agrees to before joining the priority tier."""

    child: Child
    cents: int
    text: str
    card: Card | None
    """The one that is charged; None: one that is saved now."""
    cards: list[Card]
    """What else the family may choose."""


@button_of("course")
@verified_email_to_post
def join(request: HttpRequest, slug: str) -> HttpResponse:
    """From the form on the page of the class; the priority tier first shows what is agreed to."""
    course = get_object_or_404(Course.objects.published(), slug=slug)
    household, user = household_of(request), guardian(request)
    assert user is not None
    form = WaitlistForm(request.POST, household=household, course=course, on=clock.today())
    if not form.is_valid():
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
        return redirect(course)
    child, tier = form.cleaned_data["child"], form.cleaned_data["tier"]
    if tier != WaitlistTier.PRIORITY:
        return _join(request, child, course, by=user)
    agreed_cents = form.cleaned_data["at_most"]
    terms = _terms(child, course, chosen_card=form.cleaned_data["card"])
    if agreed_cents != terms.cents:
        if agreed_cents not in {None, terms.cents}:
            messages.warning(request, "The price has changed since you saw it. Please check it again.")
        return render(request, "billing/join_waitlist.html", {"course": course, "terms": terms})
    return _join(request, child, course, by=user, at_most_cents=agreed_cents, card=terms.card)


def _terms(child: Child, course: Course, *, chosen_card: str) -> Terms:
    """`chosen_card` is a card's public id, "new", or empty for the one that was saved last."""
    now = clock.now()
    cents = price_cents(child, course, now=now)
    cards = chargeable_cards(child.household, on=local_date(now))
    by_id = {str(card.public_id): card for card in cards}
    card = by_id.get(chosen_card) if chosen_card else next(iter(cards), None)
    return Terms(
        child=child,
        cents=cents,
        text=waitlist_consent_text(child=child, course=course, at_most_cents=cents, card=card),
        card=card,
        cards=[other for other in cards if other != card],
    )


def _join(
    request: HttpRequest,
    child: Child,
    course: Course,
    *,
    by: User,
    at_most_cents: int | None = None,
    card: Card | None = None,
) -> HttpResponse:
    try:
        place = join_waitlist(
            child=child,
            course=course,
            by=by,
            now=clock.now(),
            at_most_cents=at_most_cents,
            address=address_of(request),
            card=card,
        )
    except OrderRefused as refusal:
        messages.error(request, refusal.message)
        return redirect(course)
    messages.success(request, f"{child.first_name} is on the waitlist for {course}.")
    if at_most_cents is None or place.tier == WaitlistTier.PRIORITY:
        return redirect(course)
    return _to_card_page(request, by, place)


def _to_card_page(request: HttpRequest, user: User, place: Enrollment) -> HttpResponse:
    """Where the card is saved that the priority tier needs: for this place, and for nothing else."""
    use = Use(card=None, places=list(WaitlistConsent.objects.filter(enrollment=place)))
    try:
        return redirect(card_page(household=household_of(request), by=user, charge_now=False, use=use))
    except StripeUnavailable:
        messages.warning(
            request,
            "The page that saves a card is not responding right now. Please save one in your account later: "
            "priority starts then.",
        )
        return redirect("account")


def leave_waitlist(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """After asking. Also for a seat that is offered."""
    place = _own_place(request, public_id)
    if place.status not in WAITING:
        messages.info(request, f"{place.child.first_name} is not on the waitlist for {place.course}.")
        return redirect("children")
    if request.method == "POST":
        _leave(request, place, by=guardian(request))
        return redirect("children")
    return render(request, "billing/leave_waitlist.html", {"place": place})


def _leave(request: HttpRequest, place: Enrollment, *, by: User | None) -> bool:
    try:
        leave(place, by=by, now=clock.now(), reason=LEFT_BY_FAMILY)
    except Stale:
        messages.warning(request, "This changed a moment ago. Please check again.")
        return False
    messages.success(request, f"{place.child.first_name} is no longer on the waitlist for {place.course}.")
    return True


@verified_email_to_post
def accept(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The checkout of one offered seat, apart from the family's cart."""
    place = _own_place(request, public_id)
    if order_item := getattr(place, "order_item", None):
        return redirect(order_item.order)
    now, user = clock.now(), guardian(request)
    assert user is not None
    if place.status != EnrollmentStatus.OFFERED or place.is_over(now):
        return render(request, "billing/offer_over.html", {"place": place}, status=410)
    if request.method == "POST":
        try:
            order = accept_offer(enrollment=place, by=user, now=now, **chosen(request))
        except OrderRefused as refusal:
            messages.error(request, refusal.message)
            return redirect("accept_offer", public_id)
        return to_payment(request, order, now=now)
    line = waitlist_line(child=place.child, course=place.course, enrollment=place)
    prices = price_of(line, now=now)
    context = checkout_context(request, [line], prices)
    return render(request, "billing/accept_offer.html", context | {"place": place, "order": line.order})


@never_cache
@login_not_required
def offer(request: HttpRequest, token: str) -> HttpResponse:
    """Opened from the email: what is offered, and both answers. Changes nothing."""
    return _offer_page(request, token, "billing/offer.html")


@never_cache
@login_not_required
def decline_offer(request: HttpRequest, token: str) -> HttpResponse:
    """Anyone with the link may decline, after confirming."""
    return _offer_page(request, token, "billing/decline_offer.html")


def _offer_page(request: HttpRequest, token: str, template: str) -> HttpResponse:
    try:
        place = offer_of(token)
    except (BadSignature, Enrollment.DoesNotExist):
        return render(request, "billing/bad_link.html", status=404)
    if order_item := getattr(place, "order_item", None):
        return redirect(order_item.order)  # accepted
    now = clock.now()
    if place.status != EnrollmentStatus.OFFERED or place.is_over(now):
        return render(request, "billing/offer_over.html", {"place": place}, status=410)
    if request.method == "POST" and template == "billing/decline_offer.html":
        if _leave(request, place, by=None):
            return redirect(place.course)
        return redirect(request.path)
    line = waitlist_line(child=place.child, course=place.course, enrollment=place)
    [priced] = price_of(line, now=now).lines
    return render(request, template, {"place": place, "token": token, "priced": priced})


def _own_place(request: HttpRequest, public_id: uuid.UUID) -> Enrollment:
    own = Enrollment.objects.filter(child__household=household_of(request)).exclude(tier="")
    related = own.select_related("child__household", "course__location", "course__program")
    return get_object_or_404(related.with_position(), public_id=public_id)
