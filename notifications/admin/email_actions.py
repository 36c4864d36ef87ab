"""What staff may do on an email's page."""

from dataclasses import dataclass
from typing import Any, Self

from django.shortcuts import get_object_or_404

from csf.staff.actions import Action, Actions
from csf.staff.columns import badge, link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.staff.reason_form import ReasonForm
from csf.templatetags.csf_format import moment
from notifications.by_staff import staff_acts
from notifications.by_staff.why_not import Gate, in_short, why_not
from notifications.models import EmailMessage, EmailStatus


@dataclass(frozen=True)
class EmailFacts:
    """An email as staff see it before they decide."""

    row: EmailMessage
    copies: int
    why_no_resend: str
    can_be_withheld: bool
    can_be_requeued: bool
    may_have_gone: bool
    gate: Gate

    @classmethod
    def of(cls, pk: int) -> Self:
        emails = EmailMessage.objects.select_related("recipient", "resend_of__recipient")
        email = get_object_or_404(emails, pk=pk)
        ours, original = EmailMessage.objects.filter(pk=pk), staff_acts.original_of(email)
        return cls(
            row=email,
            copies=original.resends.count(),
            why_no_resend=staff_acts.why_no_resend(original),
            can_be_withheld=staff_acts.can_be_withheld(ours).exists(),
            can_be_requeued=staff_acts.can_be_requeued(ours).exists(),
            may_have_gone=staff_acts.may_have_gone(ours).exists(),
            gate=Gate.now(),
        )

    @property
    def address(self) -> str:
        return staff_acts.address_for(staff_acts.original_of(self.row))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.status, self.row.tries, self.copies, self.address)

    @property
    def words(self) -> dict[str, Any]:
        return {"requeue": "Send it, perhaps twice" if self.may_have_gone else "Send it"}

    def panel(self) -> Panel:
        email = self.row
        row = [
            link(email, email.get_kind_display()),
            email.to,
            email.sent_at and moment(email.sent_at),
            badge(email.status, email.get_status_display()),
            in_short(why_not(email, self.gate)),
            self._mind(),
        ]
        return Panel("", ["Email", "To", "Sent", "Status", "Why", "Mind"], [row])

    def _mind(self) -> str:
        if self.may_have_gone:
            return "It may already have been sent. If you release it, the family may get it twice."
        if self.row.status != EmailStatus.QUEUED and self.address != self.row.to:
            return f"The address has changed since then: it will be sent again to {self.address}."
        return ""


class ResendForm(ReasonForm):
    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"number": self.facts.copies + 1}


def _action(*, permission: str, **options: Any) -> Action:
    return Action(permission=f"notifications.{permission}_emailmessage", argument="email", **options)


ACTIONS = [
    _action(
        name="resend",
        title="Send again",
        permission="resend",
        act=staff_acts.resend,
        form=ResendForm,
        is_possible=lambda facts: not facts.why_no_resend,
        confirm="Send it again",
        meaning=(
            "Sends a new email with the same content, in today's wording, to the person's current address."
        ),
        done="A new copy is queued.",
    ),
    _action(
        name="withhold",
        title="Withhold",
        permission="withhold",
        act=staff_acts.withhold,
        is_possible=lambda facts: facts.can_be_withheld,
        confirm="Do not send it",
        meaning="It stays here and is not sent until someone releases it.",
        done="The email is withheld.",
    ),
    _action(
        name="requeue",
        title="Release",
        permission="requeue",
        act=staff_acts.requeue,
        is_possible=lambda facts: facts.can_be_requeued,
        confirm="{requeue}",
        meaning="It goes back to the queue. It is not sent if its content is no longer true.",
        done="The email is queued again.",
    ),
    _action(
        name="mark-sent",
        title="Mark as sent",
        permission="mark_sent",
        act=staff_acts.mark_sent,
        is_possible=lambda facts: facts.may_have_gone,
        confirm="The family has received it",
        meaning="For an email with an unknown outcome, once you know that the family or the provider has it.",
        done="It is marked as sent.",
    ),
]
EMAIL_ACTIONS = Actions(EmailMessage, EmailFacts.of, ACTIONS)
