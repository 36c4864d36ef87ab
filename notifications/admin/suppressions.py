"""The suppression list: which addresses get no email, and why; and taking them off it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from django import forms
from django.contrib import admin
from django.db import models
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from csf.forms.email_address import AddressField
from csf.staff.actions import Action, Actions
from csf.staff.columns import label, link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel, panel
from csf.staff.reason_form import ReasonForm
from csf.templatetags.csf_format import moment
from enrollments.models import Household, User
from notifications.delivery.suppression import kept_back, lift, send_kept_back, worth_sending
from notifications.models import Suppression

PANEL_ROWS = 50
AT_SENDGRID = (
    "This is our list. SendGrid keeps its own: find the address there under Suppressions (bounces, "
    "invalid, spam reports) and remove it too. Otherwise SendGrid drops the next email, and the address "
    "comes back here."
)


# --- What staff may do --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SuppressionFacts:
    """A suppression as staff see it before they decide."""

    row: Suppression
    waiting: int
    """Emails that were blocked by it and are still worth sending."""

    @classmethod
    def of(cls, pk: int) -> Self:
        row = get_object_or_404(Suppression, pk=pk)
        return cls(row, worth_sending(kept_back(row)).count())

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.lifted_at, self.waiting)

    @property
    def words(self) -> dict[str, Any]:
        return {"address": self.row.address, "count": self.waiting}

    def panel(self) -> Panel:
        row = self.row
        headers = ["Address", "It gets", "Why", "Since", "Not sent, still worth sending"]
        cells = [link(row, row.address), row.get_scope_display(), row.reason, moment(row.began_at)]
        return Panel("", headers, [[*cells, str(self.waiting)]])


class LiftForm(ReasonForm):
    also_send = forms.BooleanField(
        label="Also send the emails that were not sent",
        help_text="Those still worth sending, to each person's current address.",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )
    field_order = ["reason", "also_send"]


SUPPRESSION_ACTIONS = Actions(
    Suppression,
    SuppressionFacts.of,
    [
        Action(
            name="lift",
            title="Lift",
            permission="notifications.change_suppression",
            argument="suppression",
            act=lift,
            form=LiftForm,
            is_possible=lambda facts: facts.row.lifted_at is None,
            confirm="Send emails to {address} again",
            meaning=AT_SENDGRID,
            done=f"The address gets emails again. {AT_SENDGRID}",
        ),
        Action(
            name="send-kept-back",
            title="Send the emails that were not sent",
            permission="notifications.change_suppression",
            argument="suppression",
            act=send_kept_back,
            is_possible=lambda facts: facts.waiting > 0,
            confirm="Queue {count} again",
            meaning=(
                "They go to each person's current address. If that is still this one and it is still "
                "suppressed, they come back here."
            ),
            done="The emails are queued again.",
        ),
    ],
)


# --- The list -----------------------------------------------------------------------------------------------


class InForce(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [("in_force", "in force"), ("lifted", "lifted")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"in_force", "lifted"}:
            return queryset.filter(lifted_at__isnull=self.value() == "in_force")
        return queryset


class AddForm(forms.ModelForm):  # type: ignore[type-arg] # not generic at run time
    address = AddressField(label="Address", widget=UnfoldAdminEmailInputWidget)

    class Meta:
        model = Suppression
        fields = ["address", "scope", "detail"]
        labels = {"detail": "Reason"}
        help_texts = {"detail": "Stays in the history for other staff."}
        widgets = {
            "scope": UnfoldAdminSelectWidget,
            "detail": UnfoldAdminTextareaWidget({"rows": 2}),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["detail"].required = True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        address, scope = cleaned.get("address", ""), cleaned.get("scope")
        if Suppression.objects.in_force().at([address]).filter(scope=scope).exists():
            raise forms.ValidationError("This address is already suppressed in this way.")
        return cleaned


@admin.register(Suppression)
class SuppressionAdmin(ReadOnlyAdmin):
    """Added by hand, lifted with a reason, never changed and never deleted."""

    list_display = ["address", "shown_scope", "cause", "began_at", "state", "lifted_at"]
    list_filter = [InForce, "scope", "cause"]
    search_fields = ["address", "detail"]
    search_help_text = "Search by address or the provider's message."
    date_hierarchy = "began_at"
    ordering = ["-pk"]
    fields = [
        "address",
        "shown_scope",
        "cause",
        "detail",
        ("began_at", "added_by"),
        "state",
        ("lifted_at", "lifted_by", "lift_reason"),
    ]

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return bool(request.user.has_perm("notifications.add_suppression"))

    def get_fields(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        return self.fields if obj else ["address", "scope", "detail"]

    def get_form(
        self, request: HttpRequest, obj: Suppression | None = None, change: bool = False, **options: Any
    ) -> Any:
        return super().get_form(request, obj, change, **options) if obj else AddForm

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        obj.cause = Suppression.Cause.STAFF
        obj.added_by_id = request.user.pk
        obj.save()

    @admin.display(description="it gets", ordering="scope")
    def shown_scope(self, row: Suppression) -> str:
        return row.get_scope_display()

    @admin.display(description="state", ordering="lifted_at")
    def state(self, row: Suppression) -> str:
        return label("info", "lifted") if row.lifted_at else label("danger", "in force")


@panel(Suppression, permission="notifications.view_emailmessage")
def emails_it_stopped(row: Suppression) -> Panel:
    emails = kept_back(row).defer("html", "text", "context", "secret")[:PANEL_ROWS]
    return Panel(
        "Emails it blocked",
        ["Email", "Written", "Worth sending until"],
        [(link(e, e.get_kind_display()), moment(e.created_at), _until(e.expires_at)) for e in emails],
    )


def _until(at: Any) -> str:
    return moment(at) if at else "any time"


@panel(Household, permission="notifications.view_suppression")
def family_suppressions(family: Household) -> Panel:
    addresses = User.objects.filter(household=family).values(lowered=Lower("email"))
    rows = Suppression.objects.filter(address__in=addresses)
    return Panel(
        "Addresses that get no email",
        ["Address", "It gets", "Why", "Since", "Lifted"],
        [
            (
                link(row, row.address),
                row.get_scope_display(),
                row.reason,
                moment(row.began_at),
                row.lifted_at and f"{moment(row.lifted_at)}: {row.lift_reason}",
            )
            for row in rows[:PANEL_ROWS]
        ],
    )
