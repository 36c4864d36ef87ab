"""Charging a saved card for one installment: one Stripe Invoice for its whole life, paid by our own call.

Each step looks at the invoice first, so a crash can resume anywhere: create, store its id, add the line,
finalize, check the amount, pay, record. The steps have keys made of the installment, the payment one made of
the attempt.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import repeat

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from billing.installments.card_renewals import look_at_card
from billing.installments.customers import ensure_customer, forget_customer
from billing.installments.dunning import after_decline, after_nothing, after_rejection, look_later
from billing.installments.invoices import DELETED, closed_invoice, ensure_invoice, retrieve, void
from billing.installments.next_step import Step, next_step
from billing.ledger.cards import card_of
from billing.ledger.differences import amount_text
from billing.ledger.settle import settle_invoice
from billing.models import (
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    Installment,
    InstallmentStatus,
    Payment,
    StripeCustomer,
)
from billing.models.charges import LEASE, ChargeAttemptQuerySet
from billing.stripe import breaker, gateway
from billing.stripe.decline_codes import CARD_GONE_CODE, Decline, decline_of
from csf import clock
from csf.database.advisory_locks import free_slot
from csf.database.prepared_statements import prepare_statements
from csf.jobs import time_budget
from csf.jobs.for_each import try_one
from csf.jobs.queue import enqueue
from csf.models import Instance
from csf.money import money_text
from csf.state import Stale
from orders.models import Order, OrderOrigin, OrderStatus

logger = logging.getLogger(__name__)


# A key is good for a day at Stripe; a little less, and only reading is safe.
KEY_LIFE = timedelta(hours=23)
BUDGET_S = 30.0
AT_ONCE = 2000  # more than BUDGET_S lets all workers charge, so that the threads never wait for the last
MANY = 20  # waiting attempts that are worth a second worker beside this one
LOCK_CLASS = 20_262  # of its slots
PARKED_AT_ONCE = 20
CUSTOMER_GONE = "its customer at Stripe is gone, and the saved card with it"
NEEDED = ["installment__order__household__stripe_customer", "card"]


class _Unwanted(Exception):
    """The charge is no longer wanted: the order ended, was paused, or the installment was settled
    otherwise."""


class _Mismatch(Exception):
    """Stripe would charge another amount than we asked for, or somebody ended the invoice there."""


def charge_waiting() -> bool:
    """Carry out the attempts that wait, as one of STRIPE_CHARGE_WORKERS, STRIPE_CHARGE_THREADS at once; all
    workers together not above STRIPE_CHARGES_PER_S.

    Stops after BUDGET_S; True if some are left, a worker is free for them and Stripe answers. In quarantine
    all wait, and none counts a try.
    """
    if Instance.why_quarantined():
        return False
    workers: int = settings.STRIPE_CHARGE_WORKERS
    with free_slot(LOCK_CLASS, of=workers) as slot:
        if slot is None:
            return False
        if _waiting()[MANY:].exists():
            enqueue("billing.tasks.charge")  # a second worker charges on another core
        deadline = time_budget.ends_at(BUDGET_S)
        pace = Pace(settings.STRIPE_CHARGES_PER_S / workers)
        while time.monotonic() < deadline and (ids := _share(slot, of=workers)):
            is_try = breaker.is_away()
            if not breaker.may_begin():
                return False
            shared = [iter(ids[:1] if is_try else ids)] * settings.STRIPE_CHARGE_THREADS
            with ThreadPoolExecutor(len(shared)) as pool:
                list(pool.map(_run_in_thread, shared, repeat(pace), repeat(deadline)))
    return _waiting().exists()


def _waiting() -> ChargeAttemptQuerySet:
    return ChargeAttempt.objects.on_saved_cards().waiting()


def _share(slot: int, *, of: int) -> list[int]:
    """The ids for one of so many workers, so that they do not all try to claim the same; who is done with its
    own helps the others."""
    ids = list(_waiting().order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    return [pk for pk in ids if pk % of == slot] or ids


def _run_in_thread(shared: Iterator[int], pace: "Pace", deadline: float) -> None:
    """Take one attempt after the other, on a database connection and a session at Stripe of its own."""
    prepare_statements()
    try:
        for attempt_id in shared:
            pace.wait()
            if time.monotonic() > deadline or breaker.is_open_here():
                return
            # The lease of one that fails ends, and the sweep takes it up.
            try_one(run_attempt, attempt_id, doing="charging")
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
    """Each minute: attempts whose worker was lost are unknown, and parked ones are looked at again once a
    day."""
    attempts = ChargeAttempt.objects.on_saved_cards()
    lost = attempts.filter(status=ChargeStatus.SENDING, leased_until__lt=Now())
    for attempt in lost.select_related("installment"):
        with suppress(Stale):
            look_later(attempt, "the worker was lost")
    parked = attempts.filter(status=ChargeStatus.PARKED, next_look_at__lte=Now())
    for attempt in breaker.while_it_answers(parked[:PARKED_AT_ONCE]):
        ask_again(attempt.installment.order)


def ask_again(order: Order) -> None:
    """Ask Stripe about charges that have had no outcome for so long that asking only reads: before anybody
    does something with the order. Without an answer all stays as it is."""
    old = ChargeAttempt.objects.on_saved_cards().filter(
        status__in=[ChargeStatus.UNKNOWN, ChargeStatus.PARKED],
        created_at__lt=clock.now() - KEY_LIFE,
        installment__order=order,
    )
    for attempt in old.select_related(*NEEDED):
        _conclude(attempt, _read_old)


def run_attempt(attempt_id: int) -> None:
    """Carry out one attempt that was created, or whose outcome is not known. Safe to repeat, safe to die
    in."""
    attempt = _claim(attempt_id)
    if attempt is not None:
        _conclude(attempt, _paid_invoice)


def _conclude(attempt: ChargeAttempt, paid_invoice: Callable[[ChargeAttempt], gateway.Object]) -> None:
    """Write down what became of an attempt: its invoice is paid, or what was raised instead."""
    installment = attempt.installment
    try:
        settle_invoice(paid_invoice(attempt))
    except gateway.Declined as declined:
        after_decline(attempt, decline_of(declined.error))
        _leave_to_parent(installment)
    except gateway.OutcomeUnknown as error:
        look_later(attempt, str(error))
    except _Unwanted as reason:
        _end(attempt, str(reason))
        _leave_to_parent(installment)
    except (gateway.Refused, _Mismatch) as error:
        if isinstance(error, gateway.Refused) and _has_lost_its_card(attempt):
            after_decline(attempt, Decline(code=CARD_GONE_CODE))
        else:
            _reject(attempt, error)
        _leave_to_parent(installment)
    except Stale as lost:  # somebody else settled it meanwhile
        logger.info("attempt %s of installment %s: %s", attempt.pk, installment.pk, lost)


def _has_lost_its_card(attempt: ChargeAttempt) -> bool:
    """Whether Stripe refused because the card was removed there; nothing else tells."""
    assert attempt.card is not None
    try:
        look_at_card(attempt.card.stripe_payment_method_id)
    except (gateway.OutcomeUnknown, gateway.Refused) as error:
        logger.info("card %s could not be looked at: %s", attempt.card.pk, error)
    attempt.card.refresh_from_db()
    return attempt.card.gone_at is not None


def _leave_to_parent(installment: Installment) -> None:
    """A seat from the waitlist is paid on its order's page now, so the invoice must take no money. The end of
    the hold sees to it again."""
    if installment.order.status == OrderStatus.PLACED and installment.stripe_invoice_id:
        try:
            void(installment)
        except (gateway.OutcomeUnknown, gateway.Refused) as error:
            logger.info("the invoice of installment %s is not void yet: %s", installment.pk, error)


def _claim(attempt_id: int) -> ChargeAttempt | None:
    """Take the attempt for LEASE, so that no two workers ask Stripe at once."""
    free = _waiting().select_related(*NEEDED)
    with transaction.atomic():
        locked = free.select_for_update(no_key=True, of=("self",)).filter(pk=attempt_id)
        attempt = locked.annotate(lease=Now() + LEASE).order_by("pk").first()
        if attempt is None:
            return None
        leased_until = attempt.lease  # type: ignore[attr-defined] # annotated
        attempt.move(ChargeStatus.SENDING, leased_until=leased_until, tries=attempt.tries + 1)
    return attempt


def _paid_invoice(attempt: ChargeAttempt) -> gateway.Object:
    """The installment's invoice after the attempt's one charge. Raises what happened instead."""
    if clock.now() - attempt.created_at > KEY_LIFE:
        return _read_old(attempt)
    if attempt.tries == 1:  # a repeat must learn what the first try did, wanted or not
        _still_wanted(attempt)
    invoice = _payable_invoice(attempt)
    if invoice["status"] == "paid":
        return _paid_as_agreed(invoice)
    if invoice["status"] != "open":
        raise _Mismatch(f"the invoice is {invoice['status']} at Stripe")
    # While the invoice was made, the family may have replaced its card, or staff stopped the charges.
    attempt.installment.order.refresh_from_db(fields=["status", "charges_paused_at"])
    try:
        _still_wanted(attempt)
    except _Unwanted:
        if attempt.tries > 1:
            _learn_decline(attempt, invoice["id"])
        raise
    assert attempt.card is not None
    try:
        return gateway.pay_invoice(
            invoice["id"], card=attempt.card.stripe_payment_method_id, key=f"pay:{attempt.public_id}"
        )
    except gateway.Refused:
        invoice = gateway.retrieve_invoice(invoice["id"])
        if invoice["status"] != "paid":
            raise
        attempt.move(ChargeStatus.NOT_EXECUTED, reason="paid elsewhere meanwhile", leased_until=None)
        return invoice


def _read_old(attempt: ChargeAttempt) -> gateway.Object:
    """Too old for its key: what happened is only read."""
    if not attempt.installment.stripe_invoice_id:
        raise _Unwanted("it never reached Stripe")
    invoice = retrieve(attempt.installment.stripe_invoice_id)
    if invoice["status"] == "paid":
        return _paid_as_agreed(invoice)
    if invoice["status"] != DELETED:
        _learn_decline(attempt, invoice["id"])
    raise _Unwanted(f"the invoice is {invoice['status']} and nothing was charged")


def _customer(attempt: ChargeAttempt) -> StripeCustomer:
    """The family's customer. Raises _Unwanted if it had to be made again, for the card went with the old
    one."""
    household = attempt.installment.order.household
    had_id = household.stripe_customer.stripe_id
    customer = ensure_customer(household)
    if customer.stripe_id != had_id:
        raise _Unwanted(CUSTOMER_GONE)
    return customer


def _paid_as_agreed(invoice: gateway.Object) -> gateway.Object:
    """Raises _Mismatch if it was paid from a balance, or its money is known and paid no installment."""
    if not invoice["amount_paid"] and not invoice.get("amount_paid_off_stripe"):
        raise _Mismatch("the invoice was paid from a balance at Stripe")
    known = Payment.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if known and known.installment_id is None:
        raise _Mismatch(f"the invoice was paid with {money_text(known.amount_cents)}, not as agreed")
    return invoice


def _learn_decline(attempt: ChargeAttempt, invoice_id: str) -> None:
    """Raises Declined if the bank has said no to this attempt, and not to another one or on Stripe's page."""
    error = gateway.last_payment_error(invoice_id)
    if error is None:
        return
    others = ChargeAttempt.objects.exclude(pk=attempt.pk)
    is_known = others.filter(stripe_charge_id=decline_of(error).charge_id).exists()
    method = (error.get("payment_method") or {}).get("id")
    if not is_known and attempt.card and method in {None, attempt.card.stripe_payment_method_id}:
        raise gateway.Declined(error)


def _still_wanted(attempt: ChargeAttempt) -> None:
    installment, order = attempt.installment, attempt.installment.order
    card = card_of(order)
    step = next_step(
        installment,
        card=card,
        on=clock.today(),
        is_being_changed=order.cancellations.waiting().exists(),
    )
    is_promotion = step.kind == Step.WITH_ORDER and order.origin == OrderOrigin.WAITLIST
    if installment.status != InstallmentStatus.CHARGING:
        raise _Unwanted(f"the installment is {installment.get_status_display()}")
    if step.kind != Step.BEING_PAID and not is_promotion:
        raise _Unwanted(f"the order is {order.get_status_display()}")
    if step.reason:
        raise _Unwanted(step.reason)
    if card != attempt.card:
        raise _Unwanted("the card is not the one that was agreed for this order")


def _payable_invoice(attempt: ChargeAttempt) -> gateway.Object:
    """The installment's invoice, finalized and for the right amount."""
    is_first = attempt.number == attempt.tries == 1
    # What somebody ended at Stripe is not charged by itself. A later try of an attempt keeps to its invoice.
    may_replace = attempt.kind != ChargeKind.AUTO and attempt.tries == 1
    customer = _customer(attempt)
    try:
        invoice = ensure_invoice(
            attempt.installment, customer=customer, is_first=is_first, may_replace=may_replace
        )
    except gateway.Refused as error:
        if not error.is_no_such_customer:
            raise
        forget_customer(customer.stripe_id)
        raise _Unwanted(CUSTOMER_GONE) from error
    agreed = (attempt.amount_cents, attempt.currency)
    if invoice["status"] == "open" and (invoice["amount_due"], invoice["currency"]) != agreed:
        found = amount_text(invoice["amount_due"], invoice["currency"])
        raise _Mismatch(f"the invoice is for {found}, not for {money_text(attempt.amount_cents)}")
    return invoice


def _end(attempt: ChargeAttempt, reason: str) -> None:
    with transaction.atomic():
        attempt.move(ChargeStatus.NOT_EXECUTED, reason=reason[:300], leased_until=None, next_look_at=None)
        after_nothing(attempt.installment, reason=reason)


def _reject(attempt: ChargeAttempt, error: Exception) -> None:
    """Not the parent's fault: nobody is mailed and no try is counted. Staff look, and until then it is not
    tried again."""
    with transaction.atomic():
        attempt.move(ChargeStatus.REJECTED, reason=str(error)[:300], leased_until=None, next_look_at=None)
        after_rejection(attempt.installment, reason=str(error))
    if isinstance(error, _Mismatch):
        _close_ended(attempt.installment)


def _close_ended(installment: Installment) -> None:
    """So that whoever charges it next, staff or the parent, gets a fresh invoice."""
    try:
        closed_invoice(installment)
    except (gateway.OutcomeUnknown, gateway.Refused) as error:
        logger.info("the invoice of installment %s is not closed yet: %s", installment.pk, error)
