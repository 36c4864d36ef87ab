"""A charge whose outcome we do not know: what a person found at Stripe, checked before it counts."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from billing.installments.invoices import closed_invoice, has_invoice, retrieve
from billing.installments.outcomes import after_nothing
from billing.ledger.settle import settle_invoice
from billing.models import ChargeAttempt, ChargeStatus, Installment, InstallmentNote
from billing.stripe import gateway
from billing.stripe.objects import uuid_in
from csf.refusal import NotPossible
from csf.state import Stale
from enrollments.models import User

UNKNOWN = [ChargeStatus.UNKNOWN, ChargeStatus.PARKED]


def unknown_attempt(installment: Installment) -> ChargeAttempt | None:
    return installment.attempts.on_saved_cards().filter(status__in=UNKNOWN).first()


def record_charged(*, installment: Installment, by: User, reason: str, stripe_id: str) -> None:
    """The money came: `stripe_id` is the invoice, payment or charge that shows it."""
    _checked(installment)
    with _answering():
        invoice = retrieve(_invoice_id(stripe_id.strip()))
    if uuid_in(invoice, "installment") != installment.public_id:
        raise NotPossible("Stripe says that this is not a payment for this installment.")
    if invoice["status"] != "paid":
        raise NotPossible(f"Stripe says that it is {invoice['status']}, not paid.")
    settle_invoice(invoice)
    _note(installment, by, f"charged, by {stripe_id}: {reason}")


def record_not_charged(*, installment: Installment, by: User, reason: str) -> None:
    """No money arrived, and none can arrive any more: its invoice is confirmed closed first."""
    attempt = _checked(installment)
    with _answering():
        invoice = closed_invoice(installment) if has_invoice(installment) else {"status": "never made"}
    if invoice["status"] == "paid":
        raise NotPossible("Stripe says that it is paid, so the payment has been recorded.")
    try:
        with transaction.atomic():
            attempt.transition_to(
                ChargeStatus.NOT_EXECUTED, by=by, reason=reason, leased_until=None, next_look_at=None
            )
            after_nothing(installment, reason="staff checked at Stripe: nothing was charged")
            _note(installment, by, f"not charged: {reason}")
    except Stale as lost:
        raise NotPossible("Someone else changed it at the same moment.") from lost


def _checked(installment: Installment) -> ChargeAttempt:
    attempt = unknown_attempt(installment)
    if attempt is None:
        raise NotPossible("The outcome of its charges is now known.")
    return attempt


def _invoice_id(stripe_id: str) -> str:
    """Of any of the ids that Stripe's dashboard shows for a payment."""
    found: str | None = stripe_id
    if stripe_id.startswith("ch_"):
        stripe_id = gateway.intent_of_charge(stripe_id)
    if stripe_id.startswith("pi_"):
        found = gateway.invoice_of_intent(stripe_id)
    if found is None or not found.startswith("in_"):
        raise NotPossible("Copy the id of the invoice (in_...), payment (pi_...) or charge (ch_...).")
    return found


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except gateway.OutcomeUnknown as error:
        raise NotPossible("Stripe did not answer, so nothing was changed. Please try again.") from error
    except gateway.StripeRefused as error:
        raise NotPossible(f"Stripe says: {error}") from error


def _note(installment: Installment, by: User, text: str) -> None:
    note = f"looked up at Stripe: {text}"
    InstallmentNote.objects.create(installment=installment, by=by, text=note[:500])
