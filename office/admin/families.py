"""Families, their children and whom to call in an emergency."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline

from csf.staff.model_admin import ModelAdmin, ReadOnlyAdmin
from enrollments.admin.accounts import GuardianInline, save_guardians
from enrollments.models import LEAD_FIRST, Child, EmergencyContact, Household, User


class ChildInline(TabularInline):
    model = Child
    fields = ["first_name", "last_name", "born_on"]
    extra = 0
    show_change_link = True
    can_delete = False


@admin.register(Household)
class HouseholdAdmin(ModelAdmin):
    inlines = [GuardianInline, ChildInline]
    list_display = ["name", "first_email", "number_of_children", "created_at"]
    search_fields = [
        "name",
        "guardians__email",
        "guardians__first_name",
        "guardians__last_name",
        "children__first_name",
        "children__last_name",
    ]
    search_help_text = "Search by family, guardian, child or email."
    date_hierarchy = "created_at"
    ordering = ["name", "pk"]
    fields = ["name", "created_at"]
    readonly_fields = ["created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Household]:
        families: QuerySet[Household] = super().get_queryset(request)
        leads_first = Prefetch("guardians", User.objects.order_by(*LEAD_FIRST))
        return families.annotate(number_of_children=Count("children", distinct=True)).prefetch_related(
            leads_first
        )

    def has_delete_permission(self, request: HttpRequest, obj: Household | None = None) -> bool:
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is User:
            save_guardians(formset)
        else:
            super().save_formset(request, form, formset, change)

    def search_note(self, obj: Household) -> str:
        return self.first_email(obj) or ""

    @admin.display(description="email")
    def first_email(self, family: Household) -> str | None:
        return next((user.email for user in family.guardians.all()), None)

    @admin.display(description="children", ordering="number_of_children")
    def number_of_children(self, family: Any) -> int:
        number: int = family.number_of_children
        return number


class EmergencyContactInline(TabularInline):
    model = EmergencyContact
    fields = ["name", "phone", "relationship", "is_primary"]
    extra = 0
    max_num = EmergencyContact.MOST


@admin.register(Child)
class ChildAdmin(ModelAdmin):
    inlines = [EmergencyContactInline]
    list_display = ["__str__", "born_on", "household", "created_at"]
    list_select_related = ["household"]
    search_fields = ["first_name", "last_name", "household__name"]
    search_help_text = "Search by name or family."
    autocomplete_fields = ["household"]
    ordering = ["last_name", "first_name", "pk"]
    fields = ["first_name", "last_name", "born_on", "household", "created_at"]
    readonly_fields = ["created_at"]

    def search_note(self, obj: Child) -> str:
        return f"of the {obj.household}"


@admin.register(EmergencyContact)
class EmergencyContactAdmin(ReadOnlyAdmin):
    list_display = ["name", "phone", "relationship", "is_primary", "child"]
    list_select_related = ["child"]
    search_fields = ["name", "phone", "child__first_name", "child__last_name"]
    search_help_text = "Search by name, phone or child."
    fields = ["child", "name", "phone", "relationship", "is_primary"]
