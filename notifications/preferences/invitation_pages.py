"""Who else gets a family's emails: the lead guardian invites, withdraws and stops; the invited person
accepts."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from csf import clock
from csf.web.own_pages import button_of
from enrollments.accounts.addresses import AddressTaken
from enrollments.families.invitations import InvitationOver, NotInvited, invite_guardian
from enrollments.families.signed_in import household_of
from enrollments.models import Household, User
from notifications.facts.links import BadLink, invitation_of
from notifications.facts.readers import leads, other_guardians
from notifications.preferences.forms import InvitationForm
from notifications.preferences.joining import join_family
from notifications.preferences.pages import masked
from notifications.preferences.rules import COPIES, Origin, choose


def invite(request: HttpRequest) -> HttpResponse:
    household = _led_by(request)
    assert isinstance(request.user, User)
    form = InvitationForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            invited = invite_guardian(
                household=household, by=request.user, now=clock.now(), **form.cleaned_data
            )
        except NotInvited as reason:
            form.add_error("email", str(reason))
        else:
            messages.success(request, f"We are sending an invitation to {invited.email}.")
            return redirect("account_emails")
    return render(request, "notifications/invite.html", {"form": form})


@button_of("account_emails")
def withdraw_invitation(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    invitation = get_object_or_404(_led_by(request).invitations, public_id=public_id)
    if invitation.accepted_at:
        messages.info(request, f"{invitation.first_name} has already accepted the invitation.")
    else:
        invitation.withdraw()
        messages.success(request, f"The invitation to {invitation.email} has been withdrawn.")
    return redirect("account_emails")


@button_of("account_emails")
def stop_copies(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The lead turns off another guardian's copies. Only that guardian can turn them on again."""
    guardian = get_object_or_404(other_guardians(_led_by(request)), public_id=public_id)
    choose(guardian, COPIES, is_on=False, origin=Origin.GUARDIAN)
    messages.success(request, f"{guardian.get_short_name()} will no longer get copies.")
    return redirect("account_emails")


def _led_by(request: HttpRequest) -> Household:
    """404 for anyone who is not a lead guardian."""
    household = household_of(request)
    if not (isinstance(request.user, User) and leads(request.user)):
        raise Http404("not the lead")
    return household


@never_cache
@login_not_required
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Opened from the email. Viewing it accepts nothing."""
    try:
        found = invitation_of(token)
    except BadLink:
        return render(request, "notifications/bad_link.html", status=404)
    context: dict[str, Any] = {"invitation": found, "address": masked(found.email)}
    if found.accepted_at:
        return render(request, "notifications/joined.html", context)
    if request.method == "POST":
        try:
            join_family(invitation=found, now=clock.now())
        except AddressTaken:
            context["is_taken"] = True
        except InvitationOver:
            pass  # the page says so
        else:
            return redirect(request.path)
    is_over = not found.is_open(clock.now())
    page = "notifications/invitation.html"
    return render(request, page, context | {"is_over": is_over}, status=410 if is_over else 200)
