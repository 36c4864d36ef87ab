"""Which guardian leads a family, so that its emails go there: the office may say so, with a reason."""

from dataclasses import dataclass
from typing import Any, Self

from django import forms
from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from unfold.widgets import UnfoldAdminSelectWidget

from csf import clock
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.staff.reason_form import ReasonForm
from enrollments.admin.edit_log import log_edit
from enrollments.models import Household, User


@dataclass(frozen=True)
class LeadFacts:
    row: Household

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Household, pk=pk))

    @property
    def others(self) -> QuerySet[User]:
        """The guardians who could become the lead guardian."""
        return self.row.guardians.filter(is_active=True).exclude(pk=self.row.lead.pk).order_by("pk")

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.lead.pk)

    @property
    def words(self) -> dict[str, Any]:
        return {}

    def panel(self) -> Panel:
        lead = f"{self.row.lead} ({self.row.email})"
        return Panel("", lines=[("Family", link(self.row)), ("Lead guardian", lead)])


class LeadForm(ReasonForm):
    lead = forms.ModelChoiceField(
        User.objects.none(), label="New lead guardian", widget=UnfoldAdminSelectWidget, empty_label=None
    )
    field_order = ["lead", "reason"]

    def __init__(self, *args: Any, facts: LeadFacts, **options: Any) -> None:
        super().__init__(*args, facts=facts, **options)
        self.fields["lead"].queryset = facts.others  # type: ignore[attr-defined]


def _change_lead(*, family: Household, by: User, lead: User, reason: str) -> User:
    lead.lead_family(at=clock.now())
    log_edit(family, by=by, what=f"{lead} leads from now on: {reason}")
    return lead


LEAD_ACTIONS = Actions(
    Household,
    LeadFacts.of,
    [
        Action(
            name="lead",
            title="Change lead guardian",
            permission="enrollments.change_household",
            argument="family",
            act=_change_lead,
            form=LeadForm,
            is_possible=lambda facts: facts.row.guardians.exists() and facts.others.exists(),
            confirm="Change lead guardian",
            meaning=(
                "The family's emails go to its lead guardian. The current lead guardian will get copies "
                "only if they asked for them. To remove someone's access to the account, clear “Active” on "
                "the family's page."
            ),
            done=lambda lead: f"{lead} now leads the {lead.household} and gets its emails.",
        )
    ],
    slug="guardians",
)
