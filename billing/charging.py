"""Charging a saved card for one installment: one Stripe Invoice for its whole life, paid by our own call.

Each step looks at the invoice first, so a crash can resume anywhere: create, store its id, add the line,
finalize, check the amount, pay, record. The steps have keys made of the installment, the payment one made of
the attempt.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from billing import gateway
from billing.declines import decline_of
from billing.dunning import after_decline, after_nothing, look_later
from billing.models import ChargeAttempt, ChargeStatus, Installment, InstallmentStatus
from billing.models.charges import LEASE
from billing.settle import settle_invoice
from csf.models import Instance, StaffTask
from csf.state import Stale
from orders.models import OrderStatus

logger = logging.getLogger(__name__)


# A key is good for a day at Stripe; a little less, and only reading is safe.
KEY_LIFE = timedelta(hours=23)
BUDGET_S = 30.0
CLAIM_SIZE = 100


class _Unwanted(Exception):
    """The charge is no longer wanted: the order ended, was paused, or the installment was settled
    otherwise."""


class _Mismatch(Exception):
    """Stripe would charge another amount than we asked for, or somebody ended the invoice there."""


def charge_waiting() -> bool:
    """Carry out the attempts that wait, STRIPE_CHARGE_THREADS at once and not above STRIPE_CHARGES_PER_S.

    Stops after BUDGET_S; True if some are left. Each thread has a database connection of its own. In
    quarantine all wait, and none counts a try.
    """
    if Instance.why_quarantined():
        return False
    deadline = time.monotonic() + BUDGET_S
    pace = Pace(settings.STRIPE_CHARGES_PER_S)
    with ThreadPoolExecutor(settings.STRIPE_CHARGE_THREADS) as pool:
        while time.monotonic() < deadline:
            waiting = ChargeAttempt.objects.on_saved_cards().waiting().order_by("pk")
            ids = list(waiting.values_list("pk", flat=True)[:CLAIM_SIZE])
            if not ids:
                return False
            list(pool.map(lambda attempt_id: _run_in_thread(attempt_id, pace, deadline), ids))
    return ChargeAttempt.objects.on_saved_cards().waiting().exists()


def _run_in_thread(attempt_id: int, pace: "Pace", deadline: float) -> None:
    if time.monotonic() > deadline:
        return
    pace.wait()
    try:
        run_attempt(attempt_id)
    except Exception:  # one bad row must not stop the others; its lease ends and the sweep takes it up
        logger.exception("charge attempt %s failed", attempt_id)
    finally:
        connection.close()


class Pace:
    """At most so many a second, over all threads that share it; zero is no limit."""

    def __init__(self, per_second: float) -> None:
        self._gap_s = 1 / per_second if per_second else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            mine = max(self._next, now)
            self._next = mine + self._gap_s
        time.sleep(mine - now)


def recover_charges() -> None:
    """Each minute: attempts whose worker was lost are unknown, and unknown ones that are due are looked
    at."""
    lost = ChargeAttempt.objects.on_saved_cards().filter(status=ChargeStatus.SENDING, leased_until__lt=Now())
    for attempt in lost.select_related("installment"):
        with suppress(Stale):
            look_later(attempt, "the worker was lost")


def run_attempt(attempt_id: int) -> None:
    """Carry out one attempt that was created, or whose outcome is not known. Safe to repeat, safe to die
    in."""
    attempt = _claim(attempt_id)
    if attempt is None:
        return
    installment = attempt.installment
    try:
        settle_invoice(_paid_invoice(attempt))
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
    free = ChargeAttempt.objects.on_saved_cards().waiting().filter(pk=attempt_id)
    with transaction.atomic():
        if not free.update(leased_until=Now() + LEASE, tries=F("tries") + 1):
            return None
        attempt = ChargeAttempt.objects.select_related("installment__order__household", "card").get(
            pk=attempt_id
        )
        attempt.move(ChargeStatus.SENDING)
    return attempt


def _paid_invoice(attempt: ChargeAttempt) -> gateway.Object:
    """The installment's invoice after the attempt's one charge. Raises what happened instead."""
    if timezone.now() - attempt.created_at > KEY_LIFE:
        return _read_old(attempt)
    if attempt.tries == 1:  # a repeat must learn what the first try did, wanted or not
        _still_wanted(attempt)
    invoice = _payable_invoice(attempt)
    if invoice["status"] == "paid":
        return invoice
    if invoice["status"] != "open":
        raise _Mismatch(f"the invoice is {invoice['status']} at Stripe")
    if attempt.tries > 1:
        _still_wanted(attempt)
    assert attempt.card is not None
    return gateway.pay_invoice(
        invoice["id"], card=attempt.card.stripe_payment_method_id, key=f"pay:{attempt.public_id}"
    )


def _read_old(attempt: ChargeAttempt) -> gateway.Object:
    """Too old for its key: what happened is only read."""
    if not attempt.installment.stripe_invoice_id:
        raise _Unwanted("it never reached Stripe")
    invoice = gateway.retrieve_invoice(attempt.installment.stripe_invoice_id)
    if invoice["status"] == "paid":
        return invoice
    if error := gateway.last_payment_error(invoice["id"]):
        raise gateway.Declined(error)
    raise _Unwanted(f"the invoice is {invoice['status']} and nothing was charged")


def _still_wanted(attempt: ChargeAttempt) -> None:
    installment = attempt.installment
    if installment.status != InstallmentStatus.CHARGING:
        raise _Unwanted(f"the installment is {installment.get_status_display()}")
    if installment.order.status != OrderStatus.CONFIRMED:
        raise _Unwanted(f"the order is {installment.order.get_status_display()}")
    if installment.order.charges_paused_at:
        raise _Unwanted("charges of this order are paused")
    if attempt.card is None or attempt.card.refused_at or attempt.card.replaced_at:
        raise _Unwanted("the card cannot be used")


def _payable_invoice(attempt: ChargeAttempt) -> gateway.Object:
    """The installment's invoice, finalized and for the right amount."""
    invoice = ensure_invoice(attempt.installment)
    agreed = (attempt.amount_cents, attempt.currency)
    if invoice["status"] == "open" and (invoice["amount_due"], invoice["currency"]) != agreed:
        raise _Mismatch(f"the invoice is for {invoice['amount_due']} {invoice['currency']}")
    return invoice


def ensure_invoice(installment: Installment) -> gateway.Object:
    """Make, find or read the one invoice of an installment, and finalize it. Raises what the gateway
    raises."""
    order = installment.order
    customer = order.household.stripe_customer.stripe_id
    uuid = installment.public_id
    others = installment.attempts.on_saved_cards().exclude(status=ChargeStatus.CREATED)
    # A restored database has forgotten what was charged after its backup, and Stripe has forgotten the keys.
    may_exist = others.count() > 1 or Instance.was_released_since(installment.created_at)
    if installment.stripe_invoice_id:
        invoice = gateway.retrieve_invoice(installment.stripe_invoice_id)
    else:
        # The answer to its making may have been lost long ago, when the key had not been used up yet.
        found = gateway.find_invoice(customer=customer, installment=str(uuid)) if may_exist else None
        invoice = found or gateway.create_invoice(
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
