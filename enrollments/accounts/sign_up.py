"""How families sign up and sign in, where it differs from allauth."""

from typing import Any

from allauth.account import forms as allauth_forms
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django import forms
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from csf import clock
from csf.forms.email_address import AddressField, clean_address
from csf.web.own_pages import is_own_path, page_to_see
from enrollments.forms import LastNameField, NameField
from enrollments.models import Household, User


class _Addressed(forms.Form):
    """One of allauth's forms, with the address read as everywhere else: the same input signs up and signs
    in."""

    address = "email"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[self.address] = AddressField()


class LoginForm(_Addressed, allauth_forms.LoginForm):
    address = "login"


class RequestLoginCodeForm(_Addressed, allauth_forms.RequestLoginCodeForm):
    pass


class ResetPasswordForm(_Addressed, allauth_forms.ResetPasswordForm):
    pass


class AddEmailForm(_Addressed, allauth_forms.AddEmailForm):
    pass


class SignupForm(_Addressed, allauth_forms.SignupForm):
    first_name = NameField(max_length=60, widget=forms.TextInput({"autocomplete": "given-name"}))
    last_name = LastNameField(widget=forms.TextInput({"autocomplete": "family-name"}))
    field_order = ("first_name", "last_name", "email", "password1")

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """User and household in one transaction; someone who signs up twice at once gets the same answer as
        someone who has an account."""
        try:
            with transaction.atomic():
                saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        except IntegrityError:
            self.account_already_exists = True
            saved = super().try_save(request)
        return saved


class FamilyAccountAdapter(DefaultAccountAdapter):
    def save_user(self, request: HttpRequest, user: User, form: SignupForm, commit: bool = True) -> User:
        user.household = Household.objects.create(
            name=f"{form.cleaned_data['last_name'] or form.cleaned_data['first_name']} family"
        )
        user.signed_up_at = clock.now()
        saved: User = super().save_user(request, user, form, commit)
        return saved

    def clean_email(self, email: str) -> str:
        return clean_address(email)

    def get_login_stages(self) -> list[str]:
        return ["enrollments.accounts.addresses.AddressStillCurrent", *super().get_login_stages()]

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """A code from before the address was replaced confirms nothing: its row is gone. Without a row only
        the signed-in owner adds an address."""
        if email_address.pk is None and request.user != email_address.user:
            return False
        return bool(super().confirm_email(request, email_address))

    def is_safe_url(self, url: str) -> bool:
        """Where `next=` may lead. allauth itself also takes every host that we answer to."""
        return is_own_path(url)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """Someone who pressed a button after being signed out returns to its page: the button's own address
        is not a page."""
        answer: HttpResponse = super().post_login(request, user, **kwargs)
        if "Location" in answer:
            answer["Location"] = page_to_see(answer["Location"])
        return answer

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Staff who are not parents have nothing to do in the catalog."""
        user = request.user
        if isinstance(user, User) and user.is_staff and not user.household_id:
            return reverse("admin:index")
        return str(super().get_login_redirect_url(request))

    def send_account_already_exists_mail(self, email: str) -> None:
        make_password("as long as a real sign-up takes")  # or the time would tell who has an account
        super().send_account_already_exists_mail(email)
