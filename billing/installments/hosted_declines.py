"""A decline that no attempt of ours asked for: on Stripe's page of an invoice, or by staff in its dashboard.

It becomes an attempt that is declined from the start. The parent tried, not we: it is not counted, and
neither the state of the installment nor the date of its next try changes.
"""

from typing import Any

from django.db import transaction
from django.db.models import Q
from djstripe.models import Invoice

from billing.installments.dunning import next_try_on
from billing.ledger.cards import refuse_card
from billing.ledger.settle import StripeObject, locked_installment
from billing.models import (
    Card,
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    Installment,
    InstallmentStatus,
)
from billing.models.cards import card_columns
from billing.models.charges import OPEN_CHARGE
from billing.stripe import gateway
from billing.stripe.decline_codes import DeclineClass, decline_of
from csf import clock
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from csf.happened import was_seen_by_predecessor
from csf.jobs.queue import enqueue


def look_at_decline(invoice_id: str) -> None:
    """An event says that this invoice could not be paid: ask Stripe why.

    Not while a charge of ours is in progress: the request for that one gets the answer.
    Safe to repeat. Raises what `gateway.last_payment_error` raises.
    """
    for invoice in Invoice.objects.filter(id=invoice_id):
        if not _is_reported_elsewhere(invoice.stripe_data):
            error = gateway.last_payment_error(invoice_id)
            if error is not None:
                add_declined(invoice.stripe_data, error)


@again_after_deadlock
@transaction.atomic
def _is_reported_elsewhere(invoice: StripeObject) -> bool:
    """Not ours, or a charge of ours is open; one whose outcome is not known is looked at now."""
    installment = locked_installment(invoice)
    if installment is None:
        return True
    unknown = installment.attempts.on_saved_cards().filter(status=ChargeStatus.UNKNOWN)
    if unknown.update(next_look_at=Now()):
        enqueue("billing.tasks.charge")
    return _is_being_charged(installment)


@again_after_deadlock
@transaction.atomic
def add_declined(invoice: StripeObject, error: StripeObject) -> ChargeAttempt | None:
    """The attempt of a declined charge, unless it is known already or may be that of an open one.

    `error` is Stripe's, of the invoice's PaymentIntent; without a charge in it the bank was not asked.
    """
    decline, method = decline_of(error), error.get("payment_method") or {}
    installment = locked_installment(invoice)
    if installment is None or not decline.charge_id or _is_being_charged(installment):
        return None
    if ChargeAttempt.objects.filter(stripe_charge_id=decline.charge_id).exists():
        return None
    if decline.kind == DeclineClass.HARD:
        _refuse_if_saved(installment, method)
    if was_seen_by_predecessor():
        _wait_for_the_next_day(installment)
    card = card_columns(method)
    attempt = ChargeAttempt.objects.create(
        installment=installment,
        number=installment.attempts.count() + 1,
        kind=ChargeKind.HOSTED,
        amount_cents=installment.amount_cents,
        currency=installment.order.currency,
        stripe_charge_id=decline.charge_id,
        decline_code=decline.reason,
        decline_class=decline.kind,
        card_brand=card["brand"],
        card_last4=card["last4"],
    )
    attempt.transition_to(ChargeStatus.DECLINED, reason=decline.reason)
    return attempt


def _wait_for_the_next_day(installment: Installment) -> None:
    """It may have been a try of the previous installation, whose email named the date of the next one."""
    again_on = next_try_on(due_on=installment.due_on, on=clock.today())
    if again_on and installment.status in {InstallmentStatus.SCHEDULED, InstallmentStatus.RETRY_WAIT}:
        installment.start_charging(reason="charged by the installation before this one")
        installment.wait_until(again_on, reason="declined")


def _is_being_charged(installment: Installment) -> bool:
    return installment.attempts.filter(status__in=OPEN_CHARGE).exists()


def _refuse_if_saved(installment: Installment, method: Any) -> None:
    same = Q(stripe_payment_method_id=method.get("id"))
    if fingerprint := card_columns(method)["fingerprint"]:
        same |= Q(fingerprint=fingerprint)
    for card in Card.objects.filter(same, household=installment.order.household_id, refused_at=None):
        refuse_card(card)
