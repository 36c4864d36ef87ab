"""About charges: none twice, none without permission, none forgotten."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, OuterRef, Q

from billing.models import (
    Card,
    ChargeAttempt,
    ChargeAttemptTransition,
    ChargeKind,
    ChargeStatus,
    Installment,
    InstallmentStatus,
    Payment,
    WaitlistConsent,
)
from billing.models.charges import LEASE, OPEN_CHARGE, SESSIONS
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.models import Instance
from csf.proofs.invariants import Invariant, last_before, legal, pks, quarantined_since, twice, with_task
from orders.models import OrderStatus, OrderTransition

EXECUTED = [ChargeStatus.SUCCEEDED, ChargeStatus.DECLINED, ChargeStatus.NEEDS_AUTH]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOT_BEGUN = timedelta(days=2)
AT_ONCE = timedelta(minutes=1)  # who asked before a stop had its commit may still have begun


def _saved_cards(since: datetime | None) -> Any:
    """Charges of saved cards; with `since` those that were begun since then."""
    mark = last_before(ChargeAttempt, since)
    return ChargeAttempt.objects.on_saved_cards().filter(pk__gt=mark)


def _two_open_pages() -> Any:
    """Of one order: both could be paid."""
    pages = ChargeAttempt.objects.filter(kind=ChargeKind.CHECKOUT, status__in=OPEN_CHARGE).order_by()
    orders = pages.values("installment__order").annotate(pages=Count("pk")).filter(pages__gt=1)
    return orders.values_list("installment__order", flat=True)


def _paid_twice_since(since: datetime) -> Iterator[str]:
    return twice(Payment, "installment", since=since)


def _shared_keys_since(since: datetime) -> Iterator[str]:
    return twice(ChargeAttempt, "public_id", since=since)


def _two_open_attempts() -> Any:
    attempts = ChargeAttempt.objects.filter(status__in=OPEN_CHARGE).order_by().values("installment")
    return attempts.annotate(n=Count("pk")).filter(n__gt=1).values_list("installment", flat=True)


def _other_amounts(since: datetime | None = None) -> Any:
    """Than the installment that they paid, or that they are charging. Money that fits no installment is for
    staff."""
    mark = last_before(ChargeAttempt, since)
    charged = ChargeAttempt.objects.filter(pk__gt=mark)
    unmatched = Payment.objects.filter(order=OuterRef("installment__order"), installment=None)
    paid = Q(~Exists(unmatched), status=ChargeStatus.SUCCEEDED, installment__status=InstallmentStatus.PAID)
    differs = ~Q(amount_cents=F("installment__amount_cents")) | ~Q(currency=F("installment__order__currency"))
    return pks(charged.filter(differs, paid | Q(status__in=OPEN_CHARGE)))


def _of_another_order() -> Any:
    return pks(Payment.objects.exclude(installment=None).exclude(order=F("installment__order")))


def _other_payments(since: datetime | None = None) -> Any:
    paid = Payment.objects.filter(installment__isnull=False, pk__gt=last_before(Payment, since))
    return pks(paid.exclude(amount_cents=F("installment__amount_cents"), currency=F("order__currency")))


def _owed_in_another_currency() -> Any:
    """CURRENCY was changed while families owed: pages would show one currency and Stripe charge the other."""
    owing = Installment.objects.open().exclude(order__currency=settings.CURRENCY)
    alive = [OrderStatus.PLACED, OrderStatus.CONFIRMED, OrderStatus.COMPLETED]
    return pks(owing.filter(order__status__in=alive))


def _charged_without_right(since: datetime | None = None) -> Any:
    early = Q(kind=ChargeKind.AUTO, charged_on__lt=F("installment__due_on"))
    no_consent = Q(installment__consent=None)
    of_another = Q(installment__consent__order__isnull=False) & ~Q(
        installment__consent__order=F("installment__order")
    )
    too_much = WaitlistConsent.objects.filter(
        enrollment__order_item__order=OuterRef("installment__consent__order"),
        at_most_cents__lt=OuterRef("amount_cents"),
    )
    without_plan = Q(Exists(too_much), installment__consent__plan=None)
    return pks(_saved_cards(since).filter(early | no_consent | of_another | without_plan))


def _charged_after_a_stop(since: datetime | None = None) -> Any:
    """Staff, a dispute or the end of the order had stopped it before it was begun."""
    begun_at = OuterRef("created_at") - AT_ONCE
    ended = OrderTransition.objects.filter(order=OuterRef("installment__order"), created_at__lt=begun_at)
    over = [OrderStatus.CANCELLED, OrderStatus.EXPIRED]
    revived = ended.filter(to_status=OrderStatus.CONFIRMED, from_status=OrderStatus.EXPIRED)
    paused = Q(installment__order__charges_paused_at__lt=F("created_at") - AT_ONCE)
    stopped = paused | Q(Exists(ended.filter(to_status__in=over)), ~Exists(revived))
    return pks(_saved_cards(since).filter(stopped, status__in=EXECUTED))


def _too_many_tries(since: datetime | None = None) -> Iterator[Any]:
    automatic = ChargeAttempt.objects.filter(kind=ChargeKind.AUTO, status__in=EXECUTED).order_by()
    if since:
        automatic = automatic.filter(installment__in=_saved_cards(since).values("installment"))
    a_day = automatic.values("installment", "charged_on").annotate(tries=Count("pk")).filter(tries__gt=1)
    a_card = automatic.values("installment", "card").annotate(tries=Count("pk"))
    a_card = a_card.filter(tries__gt=len(settings.DUNNING_DAYS))
    yield from {row["installment"] for row in [*a_day, *a_card]}


def _asked_after_a_hard_no() -> Any:
    asked = ChargeAttempt.objects.filter(card__in=Card.objects.filter(refused_at__isnull=False))
    return pks(asked.filter(status__in=EXECUTED, created_at__gt=F("card__refused_at")))


def _without_outcome() -> Any:
    open_ones = ChargeAttempt.objects.filter(status__in=[ChargeStatus.SENDING, ChargeStatus.UNKNOWN])
    known = with_task(MoneyTask.CHARGE_UNKNOWN)
    return pks(open_ones.filter(created_at__lt=Now() - HOUR).exclude(pk__in=known))


def _never_sent() -> Any:
    """In quarantine nothing is."""
    if Instance.why_quarantined():
        return []
    return pks(ChargeAttempt.objects.filter(status=ChargeStatus.CREATED, created_at__lt=Now() - NOT_BEGUN))


def _pages_long_over() -> Any:
    """Stripe closes a page by itself; here it still counts as one that may be paid."""
    return pks(
        ChargeAttempt.objects.payable().filter(session_closed_at=None, session_expires_at__lt=Now() - DAY)
    )


def _parked_in_silence() -> Any:
    parked = ChargeAttempt.objects.filter(status=ChargeStatus.PARKED)
    return pks(parked.exclude(pk__in=with_task(MoneyTask.CHARGE_UNKNOWN)))


def _charging_without_attempt() -> Any:
    charging = Installment.objects.filter(status=InstallmentStatus.CHARGING)
    payable = Q(attempts__status__in=OPEN_CHARGE) | Q(
        attempts__kind__in=SESSIONS, attempts__status=ChargeStatus.DECLINED, attempts__session_closed_at=None
    )
    return pks(charging.exclude(payable))


def _sent_in_quarantine() -> Any:
    if not (since := quarantined_since()):
        return []
    sent = ChargeAttemptTransition.objects.filter(to_status=ChargeStatus.SENDING)
    asked = sent.exclude(chargeattempt__kind__in=SESSIONS).filter(created_at__gt=since + LEASE)
    return asked.order_by().values_list("chargeattempt", flat=True).distinct()


INVARIANTS = [
    Invariant(
        "M4", "installments that were paid twice", partial(twice, Payment, "installment"), _paid_twice_since
    ),
    Invariant("M6", "installments with two open attempts", _two_open_attempts),
    Invariant("M6", "orders with two open payment pages", _two_open_pages),
    # The key of each request to Stripe is made of the row's public id.
    Invariant(
        "M7", "charges that share a key", partial(twice, ChargeAttempt, "public_id"), _shared_keys_since
    ),
    Invariant("M9", "charges of another amount or currency", _other_amounts, _other_amounts),
    Invariant("M9", "payments of another order than their installment", _of_another_order),
    Invariant(
        "M9",
        "payments of another amount or currency than their installment",
        _other_payments,
        _other_payments,
    ),
    Invariant("M9", "installments owed in another currency than the school's", _owed_in_another_currency),
    Invariant(
        "M11",
        "automatic charges before the due date or without consent",
        _charged_without_right,
        _charged_without_right,
    ),
    Invariant("M11", "charges begun after they were stopped", _charged_after_a_stop, _charged_after_a_stop),
    Invariant("M12", "installments charged too often", _too_many_tries, _too_many_tries),
    Invariant("M12", "charges of a card that was refused for good before", _asked_after_a_hard_no),
    Invariant("M13", "charge attempts in a state that they cannot be in", *legal(ChargeAttempt, "created")),
    Invariant("Y1", "charges without an outcome for an hour, and no staff task", _without_outcome),
    Invariant("Y1", "charges not sent for two days", _never_sent),
    Invariant("Y1", "payment pages that ended over a day ago and count as open", _pages_long_over),
    Invariant("Y1", "parked charges without a staff task", _parked_in_silence),
    Invariant("Y1", "installments being charged without an attempt", _charging_without_attempt),
    Invariant("Y3", "charges sent in quarantine", _sent_in_quarantine),
]
