"""Pages on which parents choose their emails. Viewing them changes nothing, because mail scanners follow
links."""

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from enrollments.families.signed_in import household_of
from enrollments.models import User
from notifications.facts.links import BadLink, preferences_path, unsubscriber_of, user_of
from notifications.facts.readers import leads, other_guardians
from notifications.preferences.forms import PreferencesForm
from notifications.preferences.latest import latest_emails, readable_email
from notifications.preferences.rules import (
    ALWAYS_SENT,
    CHOICES,
    NotAChoice,
    Origin,
    choose,
    gets_only_essential,
)

SAVED = "Your choices are saved. They apply from now on, including to emails that were about to go out."


def account_emails(request: HttpRequest) -> HttpResponse:
    household = household_of(request)
    assert isinstance(request.user, User)
    form = PreferencesForm(request.POST if request.method == "POST" else None, user=request.user)
    if form.is_valid():
        return _saved(request, form)
    is_lead = leads(request.user)
    context = {
        **_choices_context(form, request.user),
        "leads": is_lead,
        "others": other_guardians(household) if is_lead else [],
        "invitations": household.invitations.open() if is_lead else [],
        "emails": latest_emails(request.user),
    }
    return render(request, "notifications/account_emails.html", context)


@never_cache
def account_email_text(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """What an email said, as it was sent to this person."""
    household_of(request)
    assert isinstance(request.user, User)
    email = readable_email(request.user, public_id)
    if email is None:
        raise Http404("no such email")
    return render(request, "notifications/account_email_text.html", {"email": email})


@never_cache
@login_not_required
def preferences(request: HttpRequest, token: str) -> HttpResponse:
    """Opened from the foot of an email: the choices of this one person, and nothing else about the family."""
    try:
        user = user_of(token)
    except BadLink:
        return _bad_link(request)
    form = PreferencesForm(request.POST if request.method == "POST" else None, user=user)
    if form.is_valid():
        return _saved(request, form)
    context = _choices_context(form, user) | {"reader": user, "address": masked(user.email)}
    return _unlisted(render(request, "notifications/preferences.html", context))


def _choices_context(form: PreferencesForm, user: User) -> dict[str, Any]:
    return {"form": form, "always_sent": ALWAYS_SENT, "gets_only_essential": gets_only_essential(user)}


def _saved(request: HttpRequest, form: PreferencesForm) -> HttpResponse:
    form.save()
    messages.success(request, SAVED)
    return redirect(request.path)


@csrf_exempt
@never_cache
@login_not_required
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """RFC 8058: a mail program posts here without cookies, and its button must work at once. People who
    follow the link are asked first."""
    try:
        user, choice = unsubscriber_of(token)
        if choice not in CHOICES:
            raise NotAChoice(choice)
    except (BadLink, NotAChoice):
        return _bad_link(request)
    context: dict[str, Any] = {
        "choice": CHOICES[choice],
        "address": masked(user.email),
        "preferences_path": preferences_path(user),
    }
    if request.method == "POST":
        is_one_click = request.POST.get("List-Unsubscribe") == "One-Click"
        choose(user, choice, is_on=False, origin=Origin.ONE_CLICK if is_one_click else Origin.PAGE)
        context["is_done"] = True
    return _unlisted(render(request, "notifications/unsubscribe.html", context))


def masked(email: str) -> str:
    """Enough for its owner to know it again."""
    name, _, domain = email.partition("@")
    return f"{name[:1]}…@{domain}"


def _bad_link(request: HttpRequest) -> HttpResponse:
    return _unlisted(render(request, "notifications/bad_link.html", status=404))


def _unlisted(page: HttpResponse) -> HttpResponse:
    """Search engines leave it out. The site's Referrer-Policy keeps the link from other sites; a stricter one
    would make browsers hide the origin of our own form."""
    page["X-Robots-Tag"] = "noindex, nofollow"
    return page
