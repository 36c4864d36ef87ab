from datetime import timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from billing.models import Card, ChargeAttempt, ChargeKind, ChargeStatus, Installment, Payment, StripeEvent
from billing.models.charges import OPEN_CHARGE
from csf.invariants import Invariant, illegal_states
from csf.models import StaffTask
from orders.models import Order, OrderStatus

ALIVE = [OrderStatus.PLACED, OrderStatus.CONFIRMED, OrderStatus.COMPLETED]
EXECUTED = [ChargeStatus.SUCCEEDED, ChargeStatus.DECLINED, ChargeStatus.NEEDS_AUTH]


def _pks(rows: Any) -> Any:
    return rows.values_list("pk", flat=True)


def _unguarded_tables() -> list[str]:
    facts = {model._meta.db_table for model in apps.get_models() if getattr(model, "IS_APPEND_ONLY", False)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger "
            "WHERE tgname = 'csf_append_only' AND tgenabled = 'O'"
        )
        return sorted(facts - {table for (table,) in cursor.fetchall()})


def _plans_that_do_not_add_up() -> Any:
    whole = Order.objects.filter(status__in=ALIVE).exclude(items__enrollment__status="cancelled")
    owed = whole.annotate(
        owed_cents=Sum(
            "installments__amount_cents", filter=~Q(installments__status__in=["cancelled", "waived"])
        )
    )
    waived = Q(installments__status__in=["cancelled", "waived"])
    return _pks(owed.exclude(waived).exclude(owed_cents=F("total_cents")).exclude(total_cents=0))


def _overpaid() -> Any:
    paid = Order.objects.annotate(paid_cents=Sum("payments__amount_cents")).filter(
        paid_cents__gt=F("total_cents")
    )
    told = StaffTask.objects.filter(kind=StaffTask.Kind.UNMATCHED_PAYMENT).values_list("subject", flat=True)
    known = [int(subject.rpartition(":")[2]) for subject in told]
    return _pks(paid.exclude(payments__in=known))


def _amounts_that_differ() -> Any:
    differing = Payment.objects.filter(installment__isnull=False)
    return _pks(differing.exclude(amount_cents=F("installment__amount_cents"), currency=F("order__currency")))


def _charged_without_right() -> Any:
    automatic = ChargeAttempt.objects.filter(kind=ChargeKind.AUTO)
    early = Q(charged_on__lt=F("installment__due_on"))
    return _pks(automatic.filter(early | Q(installment__order__consent=None)))


def _too_many_tries() -> list[Any]:
    automatic = ChargeAttempt.objects.filter(kind=ChargeKind.AUTO, status__in=EXECUTED)
    a_day = automatic.values("installment", "charged_on").annotate(tries=Count("pk")).filter(tries__gt=1)
    a_card = automatic.values("installment", "card").annotate(tries=Count("pk"))
    a_card = a_card.filter(tries__gt=len(settings.DUNNING_DAYS))
    return [*a_day.values_list("installment", flat=True), *a_card.values_list("installment", flat=True)]


def _asked_after_a_hard_no() -> Any:
    asked = ChargeAttempt.objects.filter(card__in=Card.objects.filter(refused_at__isnull=False))
    return _pks(asked.filter(status__in=EXECUTED, created_at__gt=F("card__refused_at")))


def _stuck_charges() -> Any:
    long_ago = timezone.now() - timedelta(minutes=60)
    open_ones = ChargeAttempt.objects.filter(status__in=[ChargeStatus.SENDING, ChargeStatus.UNKNOWN])
    told = (
        StaffTask.objects.open().filter(kind=StaffTask.Kind.CHARGE_UNKNOWN).values_list("subject", flat=True)
    )
    known = [int(subject.rpartition(":")[2]) for subject in told]
    return _pks(open_ones.filter(created_at__lt=long_ago).exclude(pk__in=known))


def _charging_without_attempt() -> Any:
    charging = Installment.objects.filter(status="charging")
    payable = Q(attempts__status__in=OPEN_CHARGE) | Q(
        attempts__status="declined", attempts__session_closed_at=None
    )
    return _pks(charging.exclude(payable))


def _parked_in_silence() -> Any:
    told = StaffTask.objects.filter(kind=StaffTask.Kind.EVENT_PARKED).values_list("subject", flat=True)
    known = [int(subject.rpartition(":")[2]) for subject in told]
    return _pks(StripeEvent.objects.filter(status="parked").exclude(pk__in=known))


INVARIANTS = [
    Invariant("M1", "tables of facts without their trigger", _unguarded_tables),
    Invariant("M3", "orders whose installments do not add up to the total", _plans_that_do_not_add_up),
    Invariant(
        "M4",
        "installments that were paid twice",
        lambda: _pks(Installment.objects.annotate(paid=Count("payment")).filter(paid__gt=1)),
    ),
    Invariant(
        "M6",
        "installments with two open attempts",
        lambda: _pks(
            Installment.objects.annotate(
                open=Count("attempts", filter=Q(attempts__status__in=OPEN_CHARGE))
            ).filter(open__gt=1)
        ),
    ),
    Invariant("M8", "orders paid above their total without a task", _overpaid),
    Invariant("M9", "payments of another amount or currency than their installment", _amounts_that_differ),
    Invariant("M11", "automatic charges before the due date or without consent", _charged_without_right),
    Invariant("M12", "installments charged too often", _too_many_tries),
    Invariant("M12", "charges of a card that was refused for good before", _asked_after_a_hard_no),
    Invariant("M13", "installments in a state that they cannot be in", lambda: illegal_states(Installment)),
    Invariant(
        "M13", "charge attempts in a state that they cannot be in", lambda: illegal_states(ChargeAttempt)
    ),
    Invariant(
        "M14",
        "installments that are paid without money, or have money without being paid",
        lambda: _pks(
            Installment.objects.filter(
                Q(status="paid", payment=None) | (~Q(status="paid") & Q(payment__isnull=False))
            )
        ),
    ),
    Invariant("Y1", "charges without an outcome for an hour that nobody was told of", _stuck_charges),
    Invariant("Y1", "installments being charged without an attempt", _charging_without_attempt),
    Invariant("Y2", "parked events that nobody was told of", _parked_in_silence),
]
