"""Charging a saved card for one installment: one Stripe Invoice for its whole life, paid by our own call.

Each step looks at the invoice first, so a crash can resume anywhere: create, store its id, add the line,
finalize, check the amount, pay, record. The steps have keys made of the installment, the payment one made of
the attempt.
"""

import logging
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from billing import gateway
from billing.declines import decline_of
from billing.dunning import after_decline, after_nothing, look_later
from billing.models import ChargeAttempt, ChargeStatus, Installment, InstallmentStatus
from billing.models.charges import LEASE
from billing.settle import settle_invoice
from csf.models import StaffTask
from csf.state import Stale
from orders.models import OrderStatus

logger = logging.getLogger(__name__)


class _Unwanted(Exception):
    """The charge is no longer wanted: the order ended, was paused, or the installment was settled
    otherwise."""


class _Mismatch(Exception):
    """Stripe would charge another amount than we asked for."""


def run_attempt(attempt_id: int) -> None:
    """Carry out one attempt that was created, or whose outcome is not known. Safe to repeat, safe to die
    in."""
    attempt = _claim(attempt_id)
    if attempt is None:
        return
    installment = attempt.installment
    try:
        _still_wanted(attempt)
        invoice = _payable_invoice(attempt)
        if invoice["status"] == "open":
            assert attempt.card is not None
            invoice = gateway.pay_invoice(
                invoice["id"], card=attempt.card.stripe_payment_method_id, key=f"pay:{attempt.public_id}"
            )
        settle_invoice(invoice)
    except gateway.Declined as declined:
        after_decline(attempt, decline_of(declined.error))
    except gateway.OutcomeUnknown as error:
        look_later(attempt, str(error))
    except _Unwanted as reason:
        _end(attempt, ChargeStatus.NOT_EXECUTED, str(reason))
    except (gateway.Refused, _Mismatch) as error:
        _reject(attempt, error)
    except Stale as lost:  # somebody else settled it meanwhile
        logger.info("attempt %s of installment %s: %s", attempt.pk, installment.pk, lost)


def _claim(attempt_id: int) -> ChargeAttempt | None:
    """Take the attempt for LEASE, so that no two workers ask Stripe at once."""
    ready = ChargeAttempt.objects.on_saved_cards().filter(
        pk=attempt_id, status__in=[ChargeStatus.CREATED, ChargeStatus.UNKNOWN]
    )
    free = ready.filter(leased_until=None) | ready.filter(leased_until__lt=Now())
    with transaction.atomic():
        if not free.update(leased_until=Now() + LEASE, tries=F("tries") + 1):
            return None
        attempt = ChargeAttempt.objects.select_related("installment__order__household", "card").get(
            pk=attempt_id
        )
        attempt.move(ChargeStatus.SENDING)
    return attempt


def _still_wanted(attempt: ChargeAttempt) -> None:
    installment = attempt.installment
    if installment.status != InstallmentStatus.CHARGING:
        raise _Unwanted(f"the installment is {installment.get_status_display()}")
    if installment.order.status != OrderStatus.CONFIRMED:
        raise _Unwanted(f"the order is {installment.order.get_status_display()}")
    if installment.order.charges_paused_at:
        raise _Unwanted("charges of this order are paused")
    if attempt.card is None or attempt.card.refused_at:
        raise _Unwanted("the card cannot be used")


def _payable_invoice(attempt: ChargeAttempt) -> dict[str, Any]:
    """The installment's invoice, finalized and for the right amount."""
    invoice = ensure_invoice(attempt.installment)
    agreed = (attempt.amount_cents, attempt.currency)
    if invoice["status"] == "open" and (invoice["amount_due"], invoice["currency"]) != agreed:
        raise _Mismatch(f"the invoice is for {invoice['amount_due']} {invoice['currency']}")
    return invoice


def ensure_invoice(installment: Installment) -> dict[str, Any]:
    """Make, find or read the one invoice of an installment, and finalize it. Raises what the gateway
    raises."""
    order = installment.order
    customer = order.household.stripe_customer.stripe_id
    uuid = installment.public_id
    if installment.stripe_invoice_id:
        invoice = gateway.retrieve_invoice(installment.stripe_invoice_id)
    else:
        invoice = gateway.create_invoice(
            customer=customer, currency=order.currency, metadata={"installment": str(uuid)}, key=f"inv:{uuid}"
        )
        Installment.objects.filter(pk=installment.pk, stripe_invoice_id=None).update(
            stripe_invoice_id=invoice["id"]
        )
        installment.stripe_invoice_id = invoice["id"]
    if invoice["status"] == "draft":
        gateway.add_invoice_line(
            invoice["id"],
            customer=customer,
            amount_cents=installment.amount_cents,
            currency=order.currency,
            text=f"{settings.SCHOOL_NAME}, order {order.number}, part {installment.number}",
            key=f"ii:{uuid}",
        )
        invoice = gateway.finalize_invoice(invoice["id"], key=f"fin:{uuid}")
    return invoice


def _end(attempt: ChargeAttempt, to: ChargeStatus, reason: str) -> None:
    with transaction.atomic():
        attempt.move(to, reason=reason[:300], leased_until=None, next_look_at=None)
        after_nothing(attempt.installment, reason=reason)


def _reject(attempt: ChargeAttempt, error: Exception) -> None:
    """Our fault, not the parent's: staff look, nobody is mailed, no try is counted."""
    with transaction.atomic():
        _end(attempt, ChargeStatus.REJECTED, str(error))
        StaffTask.open(StaffTask.Kind.CHARGE_REJECTED, attempt, str(error))
