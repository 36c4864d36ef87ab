"""A paid order whose money goes back: asked for, approved, and what Stripe's books say."""

from django.utils import timezone

from billing.ledger.refund_sending import refund_waiting
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import Payment, Refund
from csf.models import StaffTask
from notifications.models import EmailMessage
from tests.factories import create_order, create_staff
from tests.shop import VISA, hear, open_page

REFUND_FAILS_LATER, REFUND_PENDS, DISPUTED = "4000000000005126", "4000000000007726", "4000000000000259"
EVENTS = ("refund.created", "refund.updated", "refund.failed")


def paid(shop, card=VISA):
    order = create_order()
    shop.pay(open_page(order), card)
    hear(shop, "payment_intent.succeeded")
    return Payment.objects.get(order=order)


def asked(payment, cents=5000, by=None):
    return ask_for_refund(payment=payment, cents=cents, reason="a goodwill", by=by or create_staff())


def approved(payment, cents=5000):
    refund = asked(payment, cents)
    approve(refund=refund, by=create_staff())
    return refund


def went_back(shop):
    """What Stripe's own books say went back and stayed back."""
    return [row["amount_cents"] for row in shop.server.books()["refunds"] if row["status"] != "failed"]


def look_again():
    Refund.objects.filter(status__in=["unknown", "sending"]).update(
        next_look_at=timezone.now(), leased_until=None
    )
    refund_waiting()


def open_tasks():
    return sorted(StaffTask.objects.open().values_list("kind", flat=True))


def mails():
    kinds = ["refund_issued", "refund_rejected"]
    return sorted(EmailMessage.objects.filter(kind__in=kinds).values_list("kind", flat=True))
