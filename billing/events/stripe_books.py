"""Our books compared with Stripe's, both ways, a day (in UTC) at a time (M16).

What Stripe has and we do not is recorded by the functions that record its events, if its rows are here.
Whatever still differs becomes a `BookDifference` with a task for staff, and closes by itself once both agree.
"""

import datetime
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Min, Q

from billing.events.lookups import NotYet, payment_at_stripe, record_dispute, record_refund
from billing.ledger.differences import agree, amount_text, household_of, report, report_unknown
from billing.ledger.settle import settle_invoice
from billing.models import (
    BookDifference,
    ComparedDay,
    Dispute,
    Installment,
    Payment,
    PaymentMethod,
    Refund,
    RefundCause,
    RefundMethod,
    RefundStatus,
)
from billing.models.installments import OPEN_INSTALLMENT
from billing.models.refunds import GONE_BACK
from billing.stripe import gateway
from billing.stripe.breaker import while_it_answers
from billing.stripe.objects import uuid_in
from csf import clock
from csf.jobs.declared import daily_job
from csf.jobs.queue import enqueue
from csf.jobs.report import Report
from csf.jobs.time_budget import ends_at
from csf.models import Instance

logger = logging.getLogger(__name__)
Subject = BookDifference.Subject
Row = TypeVar("Row")

RECENT_DAYS = 7
EVERYTHING_ON = 6  # on Sundays
JUST_NOW_S = 3600
BUDGET_S = 35.0  # the queue ends a task after 60 s
GIVEN_BACK = {*GONE_BACK, RefundStatus.SENDING, RefundStatus.UNKNOWN}
UNANSWERED = (gateway.OutcomeUnknown, gateway.StripeRefused, NotYet)


class _OutOfTime(Exception):
    """The rest needs another task; what Stripe has answered so far is remembered."""


@daily_job(at="05:10")
def compare_books(*, on: datetime.date, everything: bool = False) -> Report:
    """Compare our books with Stripe's: recent days, days never compared, on Sundays all, and open items.

    After a restore the days since the backup are among those that never were.
    """
    report = Report()
    if why := why_not_compared():
        logger.info("books are not compared: %s", why)
        return report
    for day in days_to_compare(on=on, everything=everything or on.weekday() == EVERYTHING_ON):
        enqueue("billing.tasks.compare_day", day)
        report.done += 1
    enqueue("billing.tasks.compare_open")
    return report


def why_not_compared() -> str:
    """In words; empty if they are."""
    is_staging = bool(settings.STAGING_EMAILS_TO)
    return "a copy for staging has no books at Stripe" if is_staging else Instance.why_quarantined()


def days_to_compare(*, on: datetime.date, everything: bool = False) -> list[datetime.date]:
    """Up to tomorrow, which may have begun in UTC."""
    last, recent = on + timedelta(days=1), on - timedelta(days=RECENT_DAYS)
    begun_at = Payment.objects.aggregate(first=Min("received_at"))["first"]
    first = min(begun_at.astimezone(datetime.UTC).date() if begun_at else recent, recent)
    compared = ComparedDay.objects.none() if everything else ComparedDay.objects.filter(day__lt=recent)
    done = set(compared.values_list("day", flat=True))
    days = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return [day for day in days if day not in done]


def compare_day(day: datetime.date, *, budget_s: float = BUDGET_S) -> bool:
    """False if the time was up before the end. A day that Stripe does not answer for is due again."""
    if Instance.why_quarantined():  # what is recorded has effects
        return True
    since = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    comparison = _Comparison(since, since + timedelta(days=1), deadline=ends_at(budget_s))
    try:
        counts = comparison.run()
    except _OutOfTime:
        return False
    except UNANSWERED as error:
        logger.warning("the books of %s are not compared: %s", day, error)
        return True
    ComparedDay.objects.update_or_create(day=day, defaults=counts | {"compared_at": clock.now()})
    return True


def compare_open() -> int:
    """Compare what is open here, of any age, with Stripe, until the time is up; return for how many Stripe
    did not answer."""
    disputes = Dispute.objects.filter(closed_at=None).select_related("payment__order__household")
    invoiced = Installment.objects.open().filter(stripe_invoice_id__isnull=False, invoice_closed_at=None)
    # In any order: those that do not fit into the time are handled another night.
    installments = invoiced.select_related("order__household").order_by("?")
    rows: Iterator[tuple[Callable[[Any], None], Any]] = chain(
        ((_compare_dispute, row) for row in disputes), ((_compare_invoice, row) for row in installments)
    )
    return sum(not _asked(compare_row, row) for compare_row, row in while_it_answers(rows))


def _asked(compare_row: Callable[[Any], None], row: Any) -> bool:
    try:
        compare_row(row)
    except UNANSWERED as error:
        logger.warning("%s is not compared: %s", row, error)
        return False
    return True


class _Comparison:
    """One span of time. Each step reads Stripe's list, then asks about our rows that it does not hold."""

    def __init__(self, since: datetime.datetime, until: datetime.datetime, *, deadline: float) -> None:
        self.since, self.until, self.deadline = since, until, deadline
        self.within = (since, until - timedelta(microseconds=1))

    def run(self) -> dict[str, int]:
        """How many objects Stripe has of each kind; `foreign` ones are not ours."""
        payments, foreign = self._payments()
        return {
            "payments": payments,
            "foreign": foreign,
            "refunds": self._refunds(),
            "disputes": self._disputes(),
            "open_invoices": self._open_invoices(),
        }

    def _payments(self) -> tuple[int, int]:
        seen: set[int] = set()
        number = foreign = 0
        for charge in self._timed(gateway.list_charges(since=self.since, until=self.until)):
            if not (charge["paid"] and charge["amount_captured"]):
                continue
            payment, is_ours = _payment_of(charge)
            household = household_of(charge["customer"])
            theirs = amount_text(charge["amount_captured"], charge["currency"], "paid")
            if payment:
                seen.add(payment.pk)
                _compare(Subject.PAYMENT, _id_of(payment), _payment_text(payment), theirs, payment)
            elif household and not is_ours:  # someone took it by hand; what is ours is reported already
                stripe_id = charge["payment_intent"] or charge["id"]
                report(Subject.PAYMENT, stripe_id, theirs=theirs, household=household)
            number += 1
            foreign += not (payment or is_ours or household)
        ours = Payment.objects.filter(method=PaymentMethod.STRIPE, received_at__range=self.within)
        for payment in self._timed(ours.exclude(pk__in=seen).select_related("order__household")):
            theirs = _read(_paid_text, payment)
            _compare(Subject.PAYMENT, _id_of(payment), _payment_text(payment), theirs, payment)
        return number, foreign

    def _refunds(self) -> int:
        seen: set[int] = set()
        number = 0
        for found in self._timed(gateway.list_refunds(since=self.since, until=self.until)):
            number += 1
            if refund := _recorded(record_refund, Subject.REFUND, found):
                seen.add(refund.pk)
                _compare(Subject.REFUND, found["id"], _refund_text(refund), _found_refund_text(found), refund)
        made = Q(created_at__range=self.within) | Q(transitions__created_at__range=self.within)
        ours = Refund.objects.filter(made, method=RefundMethod.STRIPE, status__in=GONE_BACK)
        ours = ours.exclude(cause=RefundCause.DISPUTE).exclude(pk__in=seen).distinct()
        for refund in self._timed(ours.select_related("order__household")):
            stripe_id = refund.stripe_refund_id or f"refund:{refund.public_id}"
            theirs = _read(gateway.retrieve_refund, refund.stripe_refund_id, _found_refund_text)
            _compare(Subject.REFUND, stripe_id, _refund_text(refund), theirs, refund)
        return number

    def _disputes(self) -> int:
        seen: set[int] = set()
        number = 0
        for found in self._timed(gateway.list_disputes(since=self.since, until=self.until)):
            number += 1
            if dispute := _recorded(record_dispute, Subject.DISPUTE, found):
                seen.add(dispute.pk)
                _compare(
                    Subject.DISPUTE, found["id"], _dispute_text(dispute), _found_text(found), dispute.payment
                )
        others = Dispute.objects.filter(opened_at__range=self.within).exclude(pk__in=seen)
        for dispute in self._timed(others.select_related("payment__order__household")):
            _compare_dispute(dispute)
        return number

    def _open_invoices(self) -> int:
        """An invoice that can be paid must be owed here, and be the one that its installment knows."""
        number = 0
        for found in self._timed(gateway.list_open_invoices(since=self.since, until=self.until)):
            public_id = uuid_in(found, "installment")
            if public_id is None:
                continue
            number += 1
            installment = Installment.objects.filter(public_id=public_id).select_related("order").first()
            theirs = amount_text(found["amount_due"], found["currency"], "open")
            ours = _owed_text(installment, found["id"]) if installment else ""
            _compare(Subject.INVOICE, found["id"], ours, theirs, installment, customer=found["customer"])
        return number

    def _timed(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if time.monotonic() > self.deadline:
                raise _OutOfTime
            yield row


def _payment_of(charge: gateway.Object) -> tuple[Payment | None, bool]:
    """Ours for a charge. A part of an invoice, which only someone by hand can have charged, is none of ours:
    a person must see it. Raises NotYet for a charge of just now, whose invoice may not be called paid yet.
    """
    try:
        return payment_at_stripe(charge["payment_intent"])
    except NotYet:
        if charge["created"] > clock.now().timestamp() - JUST_NOW_S:
            raise
        return None, False


def _recorded(
    record: Callable[[gateway.Object], Row | None], subject: Subject, found: gateway.Object
) -> Row | None:
    """What belongs to a part of an invoice is for a person too."""
    try:
        return record(found)
    except NotYet:
        report_unknown(subject, found, found["amount"])
        return None


def _compare(
    subject: Subject, stripe_id: str, ours: str, theirs: str, row: Any, customer: Any = None
) -> None:
    if ours == theirs:
        agree(stripe_id)
    else:
        household = row.order.household if row else household_of(customer)
        report(subject, stripe_id, ours=ours, theirs=theirs, household=household)


def _read(read: Callable[[Any], Any], stripe_id: Any, text: Callable[[Any], str] = str) -> str:
    """Stripe's state in short; empty if it has no such object."""
    if not stripe_id:
        return ""
    try:
        return text(read(stripe_id))
    except gateway.StripeRefused as refusal:
        if refusal.is_missing:
            return ""
        raise


def _id_of(payment: Payment) -> str:
    return payment.stripe_payment_intent_id or payment.stripe_invoice_id or ""


def _payment_text(payment: Payment) -> str:
    return amount_text(payment.amount_cents, payment.currency, "paid")


def _paid_text(payment: Payment) -> str:
    """The same in Stripe's books."""
    if payment.stripe_payment_intent_id:
        found = gateway.retrieve_payment_intent(payment.stripe_payment_intent_id)
        status = "paid" if found["status"] == "succeeded" else found["status"]
        return amount_text(found["amount_received"], found["currency"], status)
    assert payment.stripe_invoice_id
    found = gateway.retrieve_invoice(payment.stripe_invoice_id)
    return amount_text(found["amount_paid"], found["currency"], found["status"])


def _refund_text(refund: Refund) -> str:
    word = "given back" if refund.status in GIVEN_BACK else "not given back"
    return amount_text(refund.amount_cents, refund.currency, word)


def _found_refund_text(found: gateway.Object) -> str:
    word = "not given back" if found["status"] in {"failed", "canceled"} else "given back"
    return amount_text(found["amount"], found["currency"], word)


def _dispute_text(dispute: Dispute) -> str:
    return amount_text(dispute.amount_cents, dispute.currency, dispute.status)


def _found_text(found: gateway.Object) -> str:
    return amount_text(found["amount"], found["currency"], found["status"])


def _compare_dispute(dispute: Dispute) -> None:
    def recorded(stripe_id: str) -> gateway.Object:
        found = gateway.retrieve_dispute(stripe_id)
        record_dispute(found)
        return found

    theirs = _read(recorded, dispute.stripe_id, _found_text)
    dispute.refresh_from_db()
    _compare(Subject.DISPUTE, dispute.stripe_id, _dispute_text(dispute), theirs, dispute.payment)


def _compare_invoice(installment: Installment) -> None:
    """The invoice of an installment that is open here: open there too, or not finished yet."""

    def recorded(invoice_id: str) -> gateway.Object:
        found = gateway.retrieve_invoice(invoice_id)
        settle_invoice(found)
        return found

    invoice_id = installment.stripe_invoice_id or ""
    theirs = _read(recorded, invoice_id, lambda found: _invoice_text(installment, found))
    installment.refresh_from_db()
    if installment.status in OPEN_INSTALLMENT:
        _compare(Subject.INVOICE, invoice_id, _owed_text(installment, invoice_id), theirs, installment)
    else:
        agree(invoice_id)


def _invoice_text(installment: Installment, found: gateway.Object) -> str:
    if found["status"] == "draft":  # its line and its amount come with the next try
        return _owed_text(installment, found["id"])
    return amount_text(found["amount_due"], found["currency"], found["status"])


def _owed_text(installment: Installment, invoice_id: str) -> str:
    status = "open" if installment.status in OPEN_INSTALLMENT else installment.status
    if installment.stripe_invoice_id != invoice_id:
        status = f"{status}, by another invoice"
    return amount_text(installment.amount_cents, installment.order.currency, status)
