"""Which guardian leads a family, so that its emails go there: the office may say so, with a reason."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.widgets import UnfoldAdminSelectWidget

from csf import clock
from csf.staff.panels import Button, row_buttons
from csf.staff.reason_form import ReasonForm
from enrollments.models import Household, User

TITLE = "Change lead guardian"
PERMISSION = "enrollments.change_household"


class LeadForm(ReasonForm):
    lead = forms.ModelChoiceField(
        User.objects.none(), label="New lead guardian", widget=UnfoldAdminSelectWidget, empty_label=None
    )
    field_order = ["lead", "reason"]

    def __init__(self, data: Any, *, family: Household) -> None:
        super().__init__(data)
        self.fields["lead"].queryset = _others(family)  # type: ignore[attr-defined]


def _others(family: Household) -> Any:
    """The guardians who could become the lead guardian."""
    return family.guardians.filter(is_active=True).exclude(pk=family.lead.pk).order_by("pk")


@row_buttons(Household)
def lead_button(request: HttpRequest, family: Household) -> list[Button]:
    may = request.user.has_perm(PERMISSION) and family.guardians.exists() and _others(family).exists()
    return [Button(TITLE, reverse("admin:enrollments_household_lead", args=[family.pk]))] if may else []


class LeadActions:
    """For the admin of households."""

    admin_site: Any
    opts: Any
    log_change: Any

    def get_urls(self) -> list[Any]:
        change = self.admin_site.admin_view(self.change_lead)
        own = path("<int:pk>/lead/", change, name="enrollments_household_lead")
        return [own, *super().get_urls()]  # type: ignore[misc]

    def change_lead(self, request: HttpRequest, pk: int) -> HttpResponse:
        family = get_object_or_404(Household, pk=pk)
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        form = LeadForm(request.POST if request.method == "POST" else None, family=family)
        if form.is_valid():
            lead: User = form.cleaned_data["lead"]
            lead.lead_family(at=clock.now())
            self.log_change(request, family, f"{lead} leads from now on: {form.cleaned_data['reason']}")
            messages.success(request, f"{lead} now leads the {family} and gets its emails.")
            return redirect("admin:enrollments_household_change", pk)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": family,
            "title": TITLE,
            "confirm": TITLE,
            "back": reverse("admin:enrollments_household_change", args=[pk]),
            "form": form,
        }
        return TemplateResponse(request, "admin/enrollments/lead.html", context)
