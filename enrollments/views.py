import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache

from csf import clock
from csf.web.own_pages import is_own_path
from enrollments.accounts.first_sign_in import sign_in, tokens
from enrollments.families.children import CONTACT_COLUMNS, AlreadyInFamily, children_with_classes, save_child
from enrollments.families.signed_in import household_of
from enrollments.forms import ChildForm, ContactFormSet
from enrollments.models import Child, EmergencyContact, User


@login_not_required
def start_again(request: HttpRequest) -> HttpResponse:
    """Redirect to the sign-in page. While this browser waits for a code, allauth leads from there back to the
    code, even if none was sent because the address has an account."""
    if not request.user.is_authenticated:
        request.session.flush()
    return redirect("account_login")


def children(request: HttpRequest) -> HttpResponse:
    today = clock.today()
    found = children_with_classes(household_of(request), on=today)
    cards = [{"child": child, "age": child.age_on(today)} for child in found]
    return render(request, "enrollments/children.html", {"cards": cards})


def add_child(request: HttpRequest) -> HttpResponse:
    household = household_of(request)
    assert isinstance(request.user, User)
    return _child_page(request, Child(household=household, last_name=request.user.last_name))


def edit_child(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    return _child_page(request, get_object_or_404(household_of(request).children, public_id=public_id))


def _child_page(request: HttpRequest, child: Child) -> HttpResponse:
    """The form of a new or known child with its contacts; afterwards back to where the parent came from."""
    sent = request.POST if request.method == "POST" else None
    form = ChildForm(sent, child=child, on=clock.today())
    siblings = list(child.household.children.exclude(pk=child.pk).prefetch_related("emergency_contacts"))
    known, same_as = _known_contacts(child, siblings)
    contacts = ContactFormSet(sent, prefix="contacts", initial=known)
    is_new, back = child.pk is None, _way_back(request)
    if sent is not None and all([form.is_valid(), contacts.is_valid()]):
        for name, value in form.cleaned_data.items():
            setattr(child, name, value)
        filled = [contact.cleaned_data for contact in contacts if contact.has_changed()]
        try:
            save_child(
                child=child,
                contacts=[EmergencyContact(**fields) for fields in filled],
                same_for=siblings if "same_for_all" in request.POST else [],
            )
        except AlreadyInFamily:
            form.add_error(None, f"{child} with this date of birth is already in your family.")
        else:
            messages.success(request, f"{child.first_name} was {'added' if is_new else 'saved'}.")
            return redirect(back)
    context = {
        "form": form,
        "contacts": contacts,
        "is_new": is_new,
        "child": child,
        "back": back,
        "siblings": siblings,
        "same_as": same_as,
        "is_shared": "same_for_all" in sent
        if sent is not None
        else all(_contacts_of(sibling) == known for sibling in siblings),
    }
    return render(request, "enrollments/child.html", context)


def _known_contacts(child: Child, siblings: Sequence[Child]) -> tuple[list[Any], Child | None]:
    """The child's own contacts; for one that has none, those of a sibling, with whose they are."""
    own = _contacts_of(child) if child.pk else []
    same_as = next((sibling for sibling in siblings if _contacts_of(sibling)), None)
    return (own, None) if own or same_as is None else (_contacts_of(same_as), same_as)


def _contacts_of(child: Child) -> list[Any]:
    return [
        {name: getattr(contact, name) for name in CONTACT_COLUMNS}
        for contact in child.emergency_contacts.all()
    ]


def _way_back(request: HttpRequest) -> str:
    """`?next=` if it stays on this site, else the list of children."""
    wanted = request.GET.get("next", "")
    return wanted if is_own_path(wanted) else reverse("children")


@never_cache
@login_not_required
def first_sign_in(request: HttpRequest, public_id: uuid.UUID, token: str) -> HttpResponse:
    """A page with a button: opening the link, as a mail scanner does, does not use it up."""
    user = User.objects.filter(public_id=public_id, is_staff=True, is_active=True).first()
    if user and tokens.is_valid(user, token):
        if request.method != "POST":
            return render(request, "enrollments/first_sign_in.html", {"owner": user})
        if answer := sign_in(request, user, token):
            return answer
    return render(request, "enrollments/first_sign_in.html", {"owner": None}, status=404)
