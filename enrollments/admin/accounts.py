"""Accounts in the admin: of families, which the office looks after, and of staff, which the owner does."""

from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.internal.flows.password_reset import request_password_reset
from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from csf.forms.email_address import AddressField
from csf.staff.model_admin import ModelAdmin, ReadOnlyAdmin
from csf.staff.roles import with_meaning
from enrollments.accounts.addresses import change_address, is_taken
from enrollments.accounts.staff_accounts import (
    MANAGE,
    grantable_groups,
    grantable_permissions,
    is_to_be_invited,
    may_change,
    may_grant_rights,
)
from enrollments.models import Household, User

RIGHTS = ["is_staff", "is_superuser", "groups"]


class AccountForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    """Without a password: nobody sets another person's. A new account gets its first by a link."""

    email = AddressField()

    class Meta:
        labels = {"is_active": "Active"}

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"]
        if is_taken(email, but_by=self.instance):
            raise forms.ValidationError("This email address is already in use.")
        return email

    def clean_household(self) -> Household | None:
        to: Household | None = self.cleaned_data["household"]
        family = self.instance.household
        if family and family != to and family.children.exists() and not self._others_of(family).exists():
            raise forms.ValidationError(f"The {family} has children and would have no guardian left.")
        return to

    def _others_of(self, family: Household) -> QuerySet[User]:
        return family.guardians.exclude(pk=self.instance.pk)


def save_account(user: User) -> None:
    """Write what was typed into a form; another address goes through the one function for it."""
    if user.pk is None:
        user.set_unusable_password()
        user.save()
        return
    typed = user.email
    before = User.objects.get(pk=user.pk)
    user.email = before.email
    if user.household_id != before.household_id:
        user.leads_since = None  # the office chose them to lead another family
    user.save()
    change_address(user=user, to=typed)


def save_guardians(formset: Any) -> None:
    for user in formset.save(commit=False):
        save_account(user)
    formset.save_m2m()


class _GuardianFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg] # not generic at run time
    """Rows of accounts that `by` may not change are shown and stay as they are."""

    by: User

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        if form.instance.pk and not may_change(self.by, form.instance):
            for field in form.fields.values():
                field.disabled = True


class GuardianInline(TabularInline):
    model = User
    form = AccountForm
    formset = _GuardianFormSet
    verbose_name = "guardian"
    verbose_name_plural = "guardians (the lead guardian gets the family's emails, others can get copies)"
    fields = ["email", "first_name", "last_name", "is_active"]
    ordering = ["pk"]
    extra = 0
    show_change_link = True
    can_delete = False

    def get_min_num(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """Nobody could email a family without a guardian."""
        return 0 if obj else 1

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        kwargs["validate_min"] = True
        formset = super().get_formset(request, obj, **kwargs)
        return type("GuardianFormSet", (formset,), {"by": request.user})


class GroupsField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg] # not generic at run time
    """Each group with what its members may do."""

    def label_from_instance(self, obj: Group) -> str:
        return with_meaning(obj.name)


def _without_superuser(fieldsets: Any) -> list[tuple[str | None, dict[str, Any]]]:
    return [
        (title, options | {"fields": [name for name in options["fields"] if name != "is_superuser"]})
        for title, options in fieldsets
    ]


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg] # Unfold brings no types
    """Accounts are not deleted, because their actions refer to them. See `staff_accounts` for who may change
    whom."""

    form = add_form = AccountForm
    list_display = ["email", "full_name", "household", "is_staff", "is_active", "last_login"]
    list_filter = ["is_staff", "is_active"]
    list_select_related = ["household"]
    search_fields = ["email", "first_name", "last_name", "household__name"]
    search_help_text = "Search by email, name or family."
    ordering = ["email"]
    autocomplete_fields = ["household"]
    filter_horizontal = []
    readonly_fields = ["date_joined", "last_login", "password_link"]
    fieldsets = [
        (None, {"fields": ["email", ("first_name", "last_name"), "household", "password_link"]}),
        ("Rights", {"fields": ["is_active", *RIGHTS]}),
        ("Dates", {"fields": [("date_joined", "last_login")]}),
    ]
    add_fieldsets = [(None, {"fields": ["email", ("first_name", "last_name"), "household"]})]

    @admin.display(description="name", ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name()

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        assert isinstance(request.user, User)
        return allowed and (obj is None or may_change(request.user, obj))

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        by = request.user
        assert isinstance(by, User)
        fields = list(self.readonly_fields)
        if not may_grant_rights(by, obj):
            fields += RIGHTS
        # Their own address is changed on their account page; nobody puts themselves into a family.
        return [*fields, "email", "household", "is_active"] if obj == by else fields

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Only superusers can create one, so others do not see the field."""
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if request.user.is_superuser else _without_superuser(fieldsets)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = grantable_groups(request.user)  # type: ignore[arg-type]
            kwargs |= {"form_class": GroupsField, "widget": UnfoldAdminCheckboxSelectMultipleWidget}
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        save_account(obj)

    @admin.display(description="password")
    def password_link(self, user: User) -> str:
        url = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('<a class="text-link" href="{}">Send a link to set one</a>', url)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Send a link with which its owner sets a password, to the address of the account."""
        user = get_object_or_404(User, pk=id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        if request.method != "POST":
            context = self.admin_site.each_context(request) | {"account": user, "title": "Send a link"}
            context |= {"is_invitation": is_to_be_invited(user)}
            return render(request, "admin/enrollments/password_link.html", context)
        request_password_reset(request, user.email, [user], default_token_generator)
        messages.success(request, f"A link to set a password is on its way to {user.email}.")
        return redirect("admin:enrollments_user_change", user.pk)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc] # Unfold brings no types
    """A group's permissions are those of its members, so only the owner may change them."""

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        assert isinstance(request.user, User)
        allowed: bool = super().has_change_permission(request, obj)
        is_within = obj is None or grantable_groups(request.user).filter(pk=obj.pk).exists()
        return allowed and request.user.has_perm(MANAGE) and is_within

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(super().has_add_permission(request)) and request.user.has_perm(MANAGE)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and self.has_change_permission(request, obj)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if db_field.name == "permissions":
            kwargs["queryset"] = grantable_permissions(request.user).select_related(  # type: ignore[union-attr, arg-type]
                "content_type"
            )
        return super().formfield_for_manytomany(db_field, request, **kwargs)


@admin.register(EmailAddress)
class EmailAddressAdmin(ReadOnlyAdmin):
    list_display = ["email", "user", "primary", "verified"]
    list_filter = ["verified", "primary"]
    list_select_related = ["user"]
    search_fields = ["email", "user__first_name", "user__last_name"]
    fields = ["email", "user", "primary", "verified"]
