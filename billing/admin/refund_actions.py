"""What staff may do about refunds: cancel a place, request a refund, decide about one, hand over cash."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django import forms
from django.shortcuts import get_object_or_404
from unfold.widgets import UnfoldAdminSelectWidget

from billing.changes.cancellation import Outcome, OutcomeChanged, cancel_enrollment, outcome_of, policy_terms
from billing.ledger import refunds
from billing.ledger.reductions import CREDITED, refundable
from billing.ledger.refunds import HANDED_OVER, has_failed_by_card
from billing.models import Payment, Refund, RefundMethod, RefundStatus, Terms
from billing.models.installments import OWN_FAMILY
from csf import clock
from csf.forms.fields import CentsField
from csf.money import money_text
from csf.refusal import NotPossible
from csf.staff.actions import Action, Actions
from csf.staff.columns import badge, link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.staff.reason_form import ReasonForm, reason_field
from csf.state import Stale
from csf.templatetags.csf_format import day, moment
from enrollments.families.who_is_notified import who_is_notified
from enrollments.models import Enrollment, EnrollmentStatus, User
from orders.models import Order, OrderItem

# --- A place that is given up -------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlaceFacts:
    """A paid place, and the result of cancelling it on each of the terms."""

    row: Enrollment

    @classmethod
    def of(cls, pk: int) -> Self:
        rows = Enrollment.objects.select_related("child__household", "course")
        return cls(get_object_or_404(rows, pk=pk))

    @property
    def can_be_cancelled(self) -> bool:
        """Also after its class has ended, until it is completed."""
        is_bought = OrderItem.objects.filter(enrollment=self.row).exists()
        return is_bought and self.row.status == EnrollmentStatus.ACTIVE

    @cached_property
    def outcomes(self) -> dict[Terms, Outcome]:
        if not self.can_be_cancelled:
            return {}
        now = clock.now()
        return {terms: outcome_of(enrollment=self.row, now=now, terms=terms) for terms in Terms}

    @cached_property
    def policy(self) -> Terms | None:
        outcome = next(iter(self.outcomes.values()), None)
        return policy_terms(outcome.item.order, now=clock.now()) if outcome else None

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(*(outcome.fingerprint for outcome in self.outcomes.values()))

    @property
    def words(self) -> dict[str, Any]:
        return {"place": str(self.row)}

    def panel(self) -> Panel:
        headers = ["What the family gets", "No longer owed", "Not charged", "Refund", "Credit"]
        return Panel(str(self.row), headers, [self._line(terms) for terms in self.outcomes])

    def _line(self, terms: Terms) -> list[object]:
        outcome = self.outcomes[terms]
        name = terms.label.capitalize()
        if terms == Terms.PRORATED:
            name = f"{name} ({outcome.sessions_left} of {outcome.sessions})"
        stops = [
            f"{day(cut.installment.due_on)}: {money_text(cut.left_cents)} "
            f"instead of {money_text(cut.installment.amount_cents)}"
            for cut in outcome.reduction.cuts
        ]
        refunds_ = [f"{money_text(cents)} {payment.way_back}" for payment, cents in outcome.reduction.refunds]
        credit_cents = outcome.reduction.credit_cents
        return [
            f"{name} (our policy)" if terms == self.policy else name,
            money_text(outcome.value_cents),
            ", ".join(stops),
            ", ".join(refunds_),
            money_text(credit_cents) if credit_cents else "",
        ]


class CancelPlaceForm(ReasonForm):
    terms = forms.TypedChoiceField(
        label="The family gets", coerce=Terms, widget=UnfoldAdminSelectWidget, choices=Terms.choices
    )
    field_order = ["terms", "reason"]

    def __init__(self, *args: Any, facts: PlaceFacts, **options: Any) -> None:
        super().__init__(*args, facts=facts, **options)
        self.fields["terms"].initial = facts.policy
        self.fields["terms"].help_text = "Refunds need approval. The table shows what each choice means."

    def arguments(self) -> dict[str, Any]:
        terms = self.cleaned_data["terms"]
        outcome = self.facts.outcomes.get(terms)
        return super().arguments() | {"fingerprint": outcome.fingerprint if outcome else ""}


def _cancel_place(*, enrollment: Enrollment, by: User, reason: str, terms: Terms, fingerprint: str) -> None:
    order = enrollment.order_item.order
    if by.household_id == order.household_id and terms != policy_terms(order, now=clock.now()):
        raise NotPossible(f"{OWN_FAMILY} You may only choose our policy.")
    try:
        cancel_enrollment(
            enrollment=enrollment, by=by, reason=reason, now=clock.now(), terms=terms, fingerprint=fingerprint
        )
    except Stale as lost:
        raise NotPossible("Someone else has cancelled or moved this place.") from lost
    except OutcomeChanged as changed:
        raise NotPossible("The figures have changed. Please check the new ones.") from changed


PLACE_ACTIONS = Actions(
    Enrollment,
    PlaceFacts.of,
    [
        Action(
            name="cancel",
            title="Cancel this place",
            permission="billing.add_cancellation",
            argument="enrollment",
            act=_cancel_place,
            form=CancelPlaceForm,
            is_possible=lambda facts: facts.can_be_cancelled,
            confirm="Cancel {place}",
            meaning="The place is free right away and goes to the waitlist. This cannot be undone.",
            done="The place is cancelled. Its refunds need approval.",
            email="The family is told by email what happens to its money.",
        )
    ],
    notified=lambda place, email: who_is_notified(place.child.household, email=email),
)

# --- A payment ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PaymentFacts:
    row: Payment
    room_cents: int
    """What can still go back."""

    @classmethod
    def of(cls, pk: int) -> Self:
        payment = get_object_or_404(Payment.objects.select_related("order__household"), pk=pk)
        return cls(payment, dict(refundable(payment.order)).get(payment, 0))

    @property
    def ways(self) -> list[RefundMethod]:
        """The way it came; any way once a refund to the card has failed."""
        return list(RefundMethod) if has_failed_by_card(self.row) else [RefundMethod(self.row.method)]

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.room_cents)

    @property
    def words(self) -> dict[str, Any]:
        return {}

    def panel(self) -> Panel:
        payment = self.row
        row = [
            link(payment.order.household),
            link(payment.order, payment.order.number),
            moment(payment.received_at),
            money_text(payment.amount_cents),
            payment.way_back,
            money_text(self.room_cents),
            _given_as_credit(payment.order),
        ]
        headers = ["Family", "Order", "Received", "Amount", "Refund", "Can still be refunded", CREDIT_HEADER]
        return Panel("", headers, [row])


CREDIT_HEADER = "Already given as credit"


def _given_as_credit(order: Order) -> str:
    """What the family has already received for this order, which a refund does not take back."""
    cents = order.credits.filter(cause__in=CREDITED).balance_cents()
    return money_text(cents) if cents else ""


class RefundForm(ReasonForm):
    cents = CentsField(label="Amount to refund")
    method = forms.TypedChoiceField(
        label="The family gets it",
        coerce=RefundMethod,
        widget=UnfoldAdminSelectWidget,
        help_text="Other ways than the card are possible once a refund to the card has failed.",
    )
    field_order = ["cents", "method", "reason"]

    def __init__(self, *args: Any, facts: PaymentFacts, **options: Any) -> None:
        super().__init__(*args, facts=facts, **options)
        method: Any = self.fields["method"]
        method.choices = [(way.value, way.label) for way in facts.ways]
        method.initial, method.required = facts.row.method, False

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"method": self.cleaned_data["method"] or None}


PAYMENT_ACTIONS = Actions(
    Payment,
    PaymentFacts.of,
    [
        Action(
            name="refund",
            title="Request a refund",
            permission="billing.add_refund",
            argument="payment",
            act=refunds.ask_for_refund,
            form=RefundForm,
            is_possible=lambda facts: facts.room_cents > 0,
            confirm="Request this refund",
            meaning=(
                "For a refund without cancelling a class. Later charges stay the same, and the children "
                "keep their places. Credit already given is not taken back, so the family would have "
                "both. Someone must approve it first."
            ),
            done="The refund is waiting for approval.",
            email="The family gets an email once the money has been refunded.",
        )
    ],
    notified=lambda payment, email: who_is_notified(payment.order.household, email=email),
)

# --- A refund -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RefundFacts:
    row: Refund

    @classmethod
    def of(cls, pk: int) -> Self:
        rows = Refund.objects.select_related("order__household", "payment", "requested_by", "cancellation")
        return cls(get_object_or_404(rows, pk=pk))

    @property
    def is_asked_for(self) -> bool:
        return self.row.status == RefundStatus.REQUESTED

    @property
    def can_be_handed_over(self) -> bool:
        return self.row.status == RefundStatus.APPROVED and self.row.method in HANDED_OVER

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.status, self.row.amount_cents)

    @property
    def words(self) -> dict[str, Any]:
        return {"amount": money_text(self.row.amount_cents), "way_back": self.row.way_back}

    def panel(self) -> Panel:
        refund = self.row
        row = [
            link(refund.order.household),
            link(refund.order, refund.order.number),
            link(refund.cancellation.enrollment) if refund.cancellation else "",
            money_text(refund.amount_cents),
            f"{money_text(refund.payment.amount_cents)}, {moment(refund.payment.received_at)}",
            refund.way_back,
            link(refund.requested_by) if refund.requested_by else "the system",
            refund.reason,
            _given_as_credit(refund.order),
            badge(refund.status, refund.get_status_display()),
        ]
        headers = ["Family", "Order", "Place", "Amount", "Original payment", "Refund", "Requested by", "Why"]
        return Panel("", [*headers, CREDIT_HEADER, "Status"], [row])


class OptionalReasonForm(ReasonForm):
    reason = reason_field(required=False, help_text="Optional. Stays in the history for other staff.")


def _action(**options: Any) -> Action:
    options.setdefault("is_possible", lambda facts: facts.is_asked_for)
    return Action(argument="refund", permission="billing.approve_refund", **options)


REFUND_ACTIONS = Actions(
    Refund,
    RefundFacts.of,
    [
        _action(
            name="approve",
            title="Approve",
            act=refunds.approve,
            form=OptionalReasonForm,
            confirm="Refund {amount} {way_back}",
            meaning="The money leaves right away and cannot be recalled.",
            done="The refund is approved and on its way.",
            email="The family gets an email once it has been refunded.",
            needs_fresh_sign_in=True,
        ),
        _action(
            name="reject",
            title="Reject",
            act=refunds.reject,
            confirm="Reject the refund of {amount}",
            meaning="The money is not refunded.",
            done="The refund is rejected.",
            email=(
                "If the family expects this refund, it is emailed whom to ask about it. "
                "Your reason is not in it."
            ),
        ),
        _action(
            name="handed-over",
            title="Handed over",
            act=refunds.record_handed_over,
            form=OptionalReasonForm,
            is_possible=lambda facts: facts.can_be_handed_over,
            confirm="{amount} was handed over {way_back}",
            meaning="Confirm this once the family has the money.",
            done="The handover is recorded.",
            email="The family gets an email that serves as its receipt.",
        ),
    ],
    notified=lambda refund, email: who_is_notified(refund.order.household, email=email),
)
