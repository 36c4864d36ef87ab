"""What staff may do about a family's credit: give some, and take back what was given by mistake."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django.shortcuts import get_object_or_404

from billing.admin.installment_forms import TodayForm
from billing.ledger.credits import CreditAccount, credit_account, grant, take_back
from billing.models import CreditCause
from csf import clock
from csf.forms.fields import CentsField
from csf.money import money_text
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.templatetags.csf_format import day
from enrollments.families.who_is_notified import who_is_notified
from enrollments.models import Household


@dataclass(frozen=True)
class FamilyFacts:
    """A family, and what is left of its credit."""

    row: Household

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Household, pk=pk))

    @cached_property
    def account(self) -> CreditAccount:
        return credit_account(self.row, on=clock.today())

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.account.balance_cents)

    @property
    def words(self) -> dict[str, Any]:
        return {"family": str(self.row)}

    def panel(self) -> Panel:
        grants = [
            f"{money_text(grant.left_cents)} until {day(grant.credit.expires_on)}"
            for grant in self.account.left
            if grant.credit.expires_on
        ]
        row = [link(self.row), money_text(self.account.balance_cents), ", ".join(grants)]
        return Panel("", ["Family", "Credit", "Credit that expires first is used first"], [row])


class CreditForm(TodayForm):
    read_by_family = "The family sees it on its account page and in its email."
    cents = CentsField(label="Amount")
    field_order = ["cents", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["reason"].help_text = self.read_by_family


class TakeBackForm(CreditForm):
    read_by_family = "The family sees it on its account page."


def _give(*, household: Household, **given: Any) -> None:
    grant(household=household, cause=CreditCause.GRANTED, **given)


CREDIT_ACTIONS = Actions(
    Household,
    FamilyFacts.of,
    [
        Action(
            name="give-credit",
            title="Give credit",
            permission="billing.add_credit",
            argument="household",
            act=_give,
            form=CreditForm,
            confirm="Give credit to the {family}",
            meaning="The family can spend it on its next order.",
            done="The credit has been given.",
            email="The family is notified by email.",
        ),
        Action(
            name="take-back-credit",
            title="Take back credit",
            permission="billing.add_credit",
            argument="household",
            act=take_back,
            form=TakeBackForm,
            is_possible=lambda facts: facts.account.balance_cents > 0,
            confirm="Take credit back from the {family}",
            meaning="For credit that was given by mistake. No email is sent, but the account page shows it.",
            done="The credit has been taken back.",
        ),
    ],
    notified=lambda household, email: who_is_notified(household, email=email),
)
