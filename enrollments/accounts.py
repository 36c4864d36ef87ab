"""How families sign up and sign in, where that differs from allauth's own ways."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.forms import SignupForm as AllauthSignupForm
from django import forms
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from email_validator import EmailNotValidError, validate_email

from enrollments.forms import NameField
from enrollments.models import Household, User


class SignupForm(AllauthSignupForm):
    first_name = NameField(max_length=60, widget=forms.TextInput({"autocomplete": "given-name"}))
    last_name = NameField(max_length=60, widget=forms.TextInput({"autocomplete": "family-name"}))
    field_order = ("first_name", "last_name", "email", "password1")

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        """User and household in one transaction; somebody who signs up twice at once gets the same answer as
        somebody who has an account."""
        try:
            with transaction.atomic():
                saved: tuple[User | None, HttpResponse | None] = super().try_save(request)
        except IntegrityError:
            self.account_already_exists = True
            saved = super().try_save(request)
        return saved


class FamilyAccountAdapter(DefaultAccountAdapter):
    def save_user(self, request: HttpRequest, user: User, form: SignupForm, commit: bool = True) -> User:
        user.household = Household.objects.create(name=f"{form.cleaned_data['last_name']} family")
        user.signed_up_at = timezone.now()
        saved: User = super().save_user(request, user, form, commit)
        return saved

    def clean_email(self, email: str) -> str:
        """An address that the mail provider takes. Whether it exists is shown by the code sent to it."""
        try:
            checked = validate_email(email, allow_smtputf8=False, check_deliverability=False)
        except EmailNotValidError as error:
            raise forms.ValidationError(str(error), code="invalid") from error
        return checked.ascii_email.lower() if checked.ascii_email else email

    def is_safe_url(self, url: str) -> bool:
        """Where `next=` may lead: a path of this site. allauth itself also takes every host that we answer
        to, and breaks at an address that cannot be read."""
        try:
            return url.startswith("/") and bool(super().is_safe_url(url))
        except ValueError:
            return False

    def send_account_already_exists_mail(self, email: str) -> None:
        make_password("as long as a real sign-up takes")  # or the time would tell who has an account
        super().send_account_already_exists_mail(email)
