"""One attempt to charge a saved card: the installment's one Stripe Invoice, paid by our own call.

Each step looks at the invoice first, so a crash can resume anywhere: create, store its id, add the line,
finalize, check the amount, pay, record. The steps have keys made of the installment, the payment one made of
the attempt.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction

from billing.installments.card_renewals import look_at_card
from billing.installments.customers import ensure_customer, forget_customer
from billing.installments.invoices import DELETED, ensure_invoice, retrieve
from billing.installments.next_step import Step, next_step
from billing.installments.outcomes import Declined, NotWanted, Outcome, Paid, Rejected, Unknown, record
from billing.ledger.cards import card_of
from billing.ledger.differences import amount_text
from billing.models import ChargeAttempt, ChargeKind, ChargeStatus, InstallmentStatus, Payment
from billing.models.charges import LEASE
from billing.stripe import gateway
from billing.stripe.decline_codes import CARD_GONE_CODE, Decline, decline_of
from csf import clock
from csf.clock import Now
from csf.money import money_text
from csf.state import Stale
from orders.models import Order, OrderOrigin

logger = logging.getLogger(__name__)

# A key is good for a day at Stripe; a little less, and only reading is safe.
KEY_LIFE = timedelta(hours=23)
CUSTOMER_GONE = "its customer at Stripe is gone, and the saved card with it"
NEEDED = ["installment__order__household__stripe_customer", "card"]


def run_attempt(attempt_id: int) -> None:
    """Carry out one attempt that was created, or whose outcome is not known. It may be repeated, and killed
    at any point."""
    attempt = _claim(attempt_id)
    if attempt is not None:
        _carry_out(attempt, _charge)


def ask_again(order: Order) -> None:
    """Ask Stripe about charges that have had no outcome for so long that we only read: before anyone changes
    the order. Without an answer nothing changes."""
    old = ChargeAttempt.objects.on_saved_cards().filter(
        status__in=[ChargeStatus.UNKNOWN, ChargeStatus.PARKED],
        created_at__lt=clock.now() - KEY_LIFE,
        installment__order=order,
    )
    for attempt in old.select_related(*NEEDED):
        _carry_out(attempt, _what_happened)


def _claim(attempt_id: int) -> ChargeAttempt | None:
    """Take the attempt for LEASE, so that no two workers ask Stripe at once."""
    free = ChargeAttempt.objects.on_saved_cards().waiting().select_related(*NEEDED)
    with transaction.atomic():
        locked = free.select_for_update(no_key=True, of=("self",)).filter(pk=attempt_id)
        attempt = locked.annotate(lease=Now() + LEASE).order_by("pk").first()
        if attempt is None:
            return None
        leased_until = attempt.lease  # type: ignore[attr-defined] # annotated
        attempt.transition_to(ChargeStatus.SENDING, leased_until=leased_until, tries=attempt.tries + 1)
    return attempt


def _carry_out(attempt: ChargeAttempt, ask: Callable[[ChargeAttempt], Outcome]) -> None:
    try:
        record(attempt, _outcome(attempt, ask))
    except Stale as lost:  # someone else settled it meanwhile
        logger.info("attempt %s of installment %s: %s", attempt.pk, attempt.installment_id, lost)


def _outcome(attempt: ChargeAttempt, ask: Callable[[ChargeAttempt], Outcome]) -> Outcome:
    try:
        return ask(attempt)
    except gateway.Declined as declined:
        return Declined(decline_of(declined.error))
    except gateway.OutcomeUnknown as error:
        return Unknown(str(error))
    except gateway.StripeRefused as error:
        gone = Decline(code=CARD_GONE_CODE)
        return Declined(gone) if _has_lost_its_card(attempt) else Rejected(str(error))


def _charge(attempt: ChargeAttempt) -> Outcome:
    """The attempt's one charge. Raises what `gateway` raises."""
    if clock.now() - attempt.created_at > KEY_LIFE:
        return _what_happened(attempt)
    # A repeat must learn what the first try did, wanted or not.
    if attempt.tries == 1 and (reason := _why_unwanted(attempt)):
        return NotWanted(reason)
    invoice = _invoice(attempt)
    if invoice is None:
        return NotWanted(CUSTOMER_GONE)
    if invoice["status"] == "paid":
        return _paid_as_agreed(invoice)
    if difference := _difference(attempt, invoice):
        return Rejected(difference, is_mismatch=True)
    # While the invoice was made, the family may have replaced its card, or staff paused the charges.
    attempt.installment.order.refresh_from_db(fields=["status", "charges_paused_at"])
    if reason := _why_unwanted(attempt):
        known = _known_decline(attempt, invoice["id"]) if attempt.tries > 1 else None
        return known or NotWanted(reason)
    return _pay(attempt, invoice["id"])


def _what_happened(attempt: ChargeAttempt) -> Outcome:
    """Of an attempt that is too old for its key: only read."""
    if not attempt.installment.stripe_invoice_id:
        return NotWanted("it never reached Stripe")
    invoice = retrieve(attempt.installment.stripe_invoice_id)
    if invoice["status"] == "paid":
        return _paid_as_agreed(invoice)
    known = None if invoice["status"] == DELETED else _known_decline(attempt, invoice["id"])
    return known or NotWanted(f"the invoice is {invoice['status']} and nothing was charged")


def _why_unwanted(attempt: ChargeAttempt) -> str:
    installment, order = attempt.installment, attempt.installment.order
    card, is_changing = card_of(order), order.cancellations.waiting().exists()
    step = next_step(installment, card=card, on=clock.today(), is_being_changed=is_changing)
    is_promotion = step.kind == Step.WITH_ORDER and order.origin == OrderOrigin.WAITLIST
    if installment.status != InstallmentStatus.CHARGING:
        return f"the installment is {installment.get_status_display()}"
    if step.kind != Step.BEING_PAID and not is_promotion:
        return f"the order is {order.get_status_display()}"
    if step.reason or card == attempt.card:
        return step.reason
    return "the card is not the one that was agreed for this order"


def _invoice(attempt: ChargeAttempt) -> gateway.Object | None:
    """The installment's invoice, finalized. None if the family's customer at Stripe is gone: its saved card
    went with it."""
    household = attempt.installment.order.household
    had_id = household.stripe_customer.stripe_id
    customer = ensure_customer(household)
    if customer.stripe_id != had_id:
        return None
    is_first = attempt.number == attempt.tries == 1
    # What someone ended at Stripe is not charged by itself. A later try of an attempt keeps to its invoice.
    may_replace = attempt.kind != ChargeKind.AUTO and attempt.tries == 1
    try:
        return ensure_invoice(
            attempt.installment, customer=customer, is_first=is_first, may_replace=may_replace
        )
    except gateway.StripeRefused as error:
        if not error.is_no_such_customer:
            raise
        forget_customer(customer.stripe_id)
        return None


def _difference(attempt: ChargeAttempt, invoice: gateway.Object) -> str:
    """Why Stripe would not charge what we asked for; empty if it would."""
    if invoice["status"] != "open":
        return f"the invoice is {invoice['status']} at Stripe"
    if (invoice["amount_due"], invoice["currency"]) != (attempt.amount_cents, attempt.currency):
        found = amount_text(invoice["amount_due"], invoice["currency"])
        return f"the invoice is for {found}, not for {money_text(attempt.amount_cents)}"
    return ""


def _pay(attempt: ChargeAttempt, invoice_id: str) -> Outcome:
    assert attempt.card is not None
    card_id, key = attempt.card.stripe_payment_method_id, f"pay:{attempt.public_id}"
    try:
        return Paid(gateway.pay_invoice(invoice_id, card=card_id, key=key))
    except gateway.StripeRefused:
        invoice = gateway.retrieve_invoice(invoice_id)
        if invoice["status"] != "paid":
            raise
    attempt.transition_to(
        ChargeStatus.NOT_EXECUTED, reason="paid another way in the meantime", leased_until=None
    )
    return Paid(invoice)


def _paid_as_agreed(invoice: gateway.Object) -> Outcome:
    """Rejected if it was paid from a balance, or its money is known and paid no installment."""
    if not invoice["amount_paid"] and not invoice.get("amount_paid_off_stripe"):
        return Rejected("the invoice was paid from a balance at Stripe", is_mismatch=True)
    known = Payment.objects.filter(stripe_invoice_id=invoice["id"]).first()
    if known and known.installment_id is None:
        paid = money_text(known.amount_cents)
        return Rejected(f"the invoice was paid with {paid}, not as agreed", is_mismatch=True)
    return Paid(invoice)


def _known_decline(attempt: ChargeAttempt, invoice_id: str) -> Declined | None:
    """If the bank has said no to this attempt, and not to another one or on Stripe's page."""
    error = gateway.last_payment_error(invoice_id)
    if error is None:
        return None
    others = ChargeAttempt.objects.exclude(pk=attempt.pk)
    decline, method = decline_of(error), (error.get("payment_method") or {}).get("id")
    is_known = others.filter(stripe_charge_id=decline.charge_id).exists()
    is_ours = attempt.card and method in {None, attempt.card.stripe_payment_method_id}
    return Declined(decline) if is_ours and not is_known else None


def _has_lost_its_card(attempt: ChargeAttempt) -> bool:
    """Whether Stripe refused because the card was removed there; nothing else says so."""
    assert attempt.card is not None
    try:
        look_at_card(attempt.card.stripe_payment_method_id)
    except (gateway.OutcomeUnknown, gateway.StripeRefused) as error:
        logger.info("card %s could not be looked at: %s", attempt.card.pk, error)
    attempt.card.refresh_from_db()
    return attempt.card.gone_at is not None
