"""An installment's invoice at Stripe: made when it is needed, found after a crash, and confirmed closed
before the installment changes.

An installment has one invoice at a time. Only when that one can certainly not be paid any more does a new one
take its place, with keys of its own.
"""

from contextlib import suppress

from django.conf import settings
from django.db.models import F, Q

from billing.installments.customers import ensure_customer
from billing.ledger.settle import settle_invoice
from billing.models import ChargeAttempt, ChargeStatus, Installment, Payment, StripeCustomer
from billing.models.charges import ChargeAttemptQuerySet
from billing.models.installments import OPEN_INSTALLMENT
from billing.stripe import gateway
from csf.clock import Now
from csf.models import Instance
from orders.models import Order

DELETED = "deleted"
ENDED = {"void", "uncollectible", DELETED}
VOID_KEY = "void"


def open_attempts(order: Order) -> ChargeAttemptQuerySet:
    """Charges of the order that are under way, or whose outcome is not known."""
    return ChargeAttempt.objects.under_way().filter(installment__order=order)


# --- Making -------------------------------------------------------------------------------------------------


def ensure_invoice(
    installment: Installment,
    *,
    customer: StripeCustomer | None = None,
    is_first: bool = False,
    may_replace: bool = False,
) -> gateway.Object:
    """Make, find or read the invoice of an installment, and finalize it. Raises what the gateway raises.

    `is_first`: no other attempt, and no other try of this one, can have asked for it. `may_replace`: a person
    wants it to be paid, so one that someone ended at Stripe is replaced by a fresh one; otherwise it is
    returned as it is. One of a customer that is gone is always replaced.
    """
    customer = customer or ensure_customer(installment.order.household)
    invoice = _made(installment, customer, is_first=is_first)
    is_of_another = invoice["status"] in {"draft", "open"} and invoice["customer"] != customer.stripe_id
    if is_of_another or (may_replace and invoice["status"] in ENDED):
        closed_invoice(installment)
        invoice = _made(installment, customer, is_first=False)
    if invoice["status"] == "draft":
        invoice = _finalized(installment, customer, invoice)
    return invoice


def _made(installment: Installment, customer: StripeCustomer, *, is_first: bool) -> gateway.Object:
    if installment.stripe_invoice_id and not installment.invoice_closed_at:
        return retrieve(installment.stripe_invoice_id)
    asked = installment.attempts.on_saved_cards().exclude(status=ChargeStatus.CREATED)
    # A restored database has forgotten what was charged after its backup, and Stripe has forgotten the keys.
    may_exist = (not is_first and asked.count() > 1) or Instance.was_lifted_since(installment.created_at)
    # The answer to its making may have been lost long ago, when the key had not been used up yet.
    invoice = (_lost(installment) if may_exist else None) or gateway.create_invoice(
        customer=customer.stripe_id,
        currency=installment.order.currency,
        metadata={"installment": str(installment.public_id), "number": str(installment.invoice_number)},
        key=customer.key(_key("inv", installment)),
    )
    _store(installment, invoice)
    return invoice


def has_open_invoice(installment: Installment) -> bool:
    """Whether an invoice of it may still be paid, or was: the one that we know of, or after a restore one
    that this database may have forgotten."""
    if installment.stripe_invoice_id and not installment.invoice_closed_at:
        return True
    return Instance.was_lifted_since(installment.created_at) and has_invoice(installment)


def has_invoice(installment: Installment) -> bool:
    """Whether it has an invoice that is not confirmed closed; one that we may not know of is searched for."""
    if not installment.stripe_invoice_id or installment.invoice_closed_at:
        if (invoice := _lost(installment)) is None:
            return False
        _store(installment, invoice)
    return True


def _lost(installment: Installment) -> gateway.Object | None:
    customer = StripeCustomer.objects.filter(household=installment.order.household_id).first()
    if customer is None or customer.stripe_id is None:
        return None
    return gateway.find_invoice(
        customer=customer.stripe_id,
        installment=str(installment.public_id),
        number=installment.invoice_number,
    )


def _store(installment: Installment, invoice: gateway.Object) -> None:
    free = Q(stripe_invoice_id=None) | Q(invoice_closed_at__isnull=False)
    same = Installment.objects.filter(free, pk=installment.pk, invoice_number=installment.invoice_number)
    same.update(stripe_invoice_id=invoice["id"], invoice_closed_at=None)
    installment.stripe_invoice_id, installment.invoice_closed_at = invoice["id"], None


def settle_paid_invoice(invoice_id: str) -> None:
    """An event says that this invoice is paid. Stripe's events do not say by what, so it is asked. Safe to
    repeat."""
    if not Payment.objects.filter(stripe_invoice_id=invoice_id).exists():
        settle_invoice(retrieve(invoice_id))


def _finalized(installment: Installment, customer: StripeCustomer, draft: gateway.Object) -> gateway.Object:
    order = installment.order
    school = settings.SCHOOL_NAME[: gateway.LONGEST_NAME]
    if not draft["amount_due"]:  # a draft of yesterday has its line, and its key is forgotten
        # The words may have changed since a line was added whose answer was lost.
        with suppress(gateway.KeyReused):
            gateway.add_invoice_line(
                draft["id"],
                customer=customer.stripe_id,
                amount_cents=installment.amount_cents,
                currency=order.currency,
                text=f"{school}, order {order.number}, part {installment.number}",
                key=customer.key(_key("ii", installment)),
            )
    return gateway.finalize_invoice(draft["id"], key=customer.key(_key("fin", installment)))


def retrieve(invoice_id: str) -> gateway.Object:
    """The invoice as Stripe has it; a draft that someone deleted has the status DELETED."""
    try:
        return gateway.retrieve_invoice(invoice_id)
    except gateway.StripeRefused as error:
        if not error.is_missing:
            raise
        return {"id": invoice_id, "status": DELETED}


def _key(step: str, installment: Installment) -> str:
    """The first invoice's keys have no number."""
    number = installment.invoice_number
    return f"{step}:{installment.public_id}" + (f":{number}" if number > 1 else "")


# --- Closing ------------------------------------------------------------------------------------------------


def void(installment: Installment) -> str:
    """Void its invoice, check that it is void, and return the invoice's id. Money that came in the meantime
    is recorded."""
    return str(closed_invoice(installment)["id"])


def closed_invoice(installment: Installment) -> gateway.Object:
    """Its invoice, which cannot be paid any more: void, deleted, or paid, and then its money is recorded.

    If the installment stays open after all, its next invoice is a fresh one. Raises what the gateway raises;
    OutcomeUnknown also if the invoice is neither void nor paid.
    """
    assert installment.stripe_invoice_id
    invoice = retrieve(installment.stripe_invoice_id)
    match invoice["status"]:
        case "open" | "uncollectible":
            invoice = gateway.void_invoice(invoice["id"], key=_key(VOID_KEY, installment))
        case "draft":
            gateway.delete_draft(invoice["id"])
            invoice = {**invoice, "status": DELETED}
        case "paid":
            settle_invoice(invoice)
    if invoice["status"] not in {"void", "paid", DELETED}:
        raise gateway.OutcomeUnknown(f"the invoice is {invoice['status']}")
    _note_closed(installment)
    return invoice


def _note_closed(installment: Installment) -> None:
    """Money that fits leaves nothing open, and nothing to note."""
    same = Installment.objects.filter(pk=installment.pk, stripe_invoice_id=installment.stripe_invoice_id)
    same.filter(invoice_closed_at=None, status__in=OPEN_INSTALLMENT).update(
        invoice_closed_at=Now(), invoice_number=F("invoice_number") + 1
    )
    installment.refresh_from_db(fields=["stripe_invoice_id", "invoice_closed_at", "invoice_number"])
