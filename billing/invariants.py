from datetime import timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest

from billing.models import (
    BookDifference,
    Cancellation,
    Card,
    CardAgreement,
    ChargeAttempt,
    ChargeKind,
    ChargeStatus,
    ClosureLine,
    Credit,
    CreditCause,
    Installment,
    Payment,
    Refund,
    RefundCause,
    RefundStatus,
    RefundTransition,
    StripeEvent,
    Transfer,
    WaitlistConsent,
)
from billing.models.charges import OPEN_CHARGE, SESSIONS
from billing.models.refunds import COUNTED, GONE_BACK
from csf import clock
from csf.invariants import Invariant, legal
from csf.models import StaffTask
from enrollments.models import Household
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


def _of_order(rows: Any, cents: Any = "amount_cents") -> Any:
    """The sum over these rows of an order, as an annotation; a join would count rows twice."""
    sums = rows.filter(order=OuterRef("pk")).order_by().values("order").annotate(sum=Sum(cents))
    return Coalesce(Subquery(sums.values("sum")), 0)


def _with_sums() -> Any:
    """Orders that left the cart and whose money is settled."""
    spent = Credit.objects.filter(cause__in=[CreditCause.SPENT, CreditCause.RETURNED])
    given = Credit.objects.filter(cause__in=[CreditCause.CANCELLATION, CreditCause.TRANSFER])
    waiting = Cancellation.objects.waiting().values("order")
    return (
        Order.objects.placed()
        .exclude(pk__in=waiting)
        .annotate(
            planned_cents=_of_order(Installment.objects.exclude(status="cancelled")),
            paid_cents=_of_order(Payment.objects.all()),
            spent_cents=_of_order(spent, -F("amount_cents")),
            given_cents=_of_order(given),
            back_cents=_of_order(Refund.objects.all()),
            value_cents=_of_order(Cancellation.objects.all(), "value_cents"),
            stopped_cents=_of_order(Cancellation.objects.all(), "stopped_cents")
            + _of_order(Transfer.objects.all(), "stopped_cents"),
            moved_cents=_of_order(Transfer.objects.all(), "difference_cents"),
            dearer_cents=_of_order(Transfer.objects.filter(difference_cents__gt=0), "difference_cents"),
        )
    )


def _plans_that_do_not_add_up() -> Any:
    """Too much is never right; too little is, where staff have cancelled a part."""
    owed = F("total_cents") - F("spent_cents") - F("stopped_cents") + F("dearer_cents")
    untouched = Q(status__in=ALIVE) & ~Q(installments__status="cancelled")
    wrong = Q(planned_cents__gt=owed) | (untouched & Q(planned_cents__lt=owed))
    return set(_pks(_with_sums().filter(wrong)))


def _changes_that_do_not_add_up() -> Any:
    """What a cancellation tells, and the rows that it made; a rest that is too small to charge is let go."""
    found = Cancellation.objects.filter(status="settled").annotate(
        asked_cents=Coalesce(Sum("refunds__amount_cents"), 0),
        given_cents=Coalesce(
            Subquery(
                Credit.objects.filter(cancellation=OuterRef("pk"))
                .order_by()
                .values("cancellation")
                .annotate(sum=Sum("amount_cents"))
                .values("sum")
            ),
            0,
        ),
    )
    told = F("stopped_cents") + F("refund_cents") + F("credit_cents")
    too_much = Q(value_cents__lte=told - settings.MINIMUM_CHARGE_CENTS)
    return _pks(
        found.filter(too_much | ~Q(asked_cents=F("refund_cents")) | ~Q(given_cents=F("credit_cents")))
    )


def _overpaid() -> Any:
    """Above the total less what is no longer owed, with what was refunded, asked for or decided about."""
    owed = F("total_cents") - F("value_cents") + F("moved_cents")
    kept = F("paid_cents") + F("spent_cents") - F("back_cents") - F("given_cents")
    too_much = _with_sums().annotate(kept_cents=kept).filter(kept_cents__gt=Greatest(owed, 0))
    return _pks(too_much.exclude(payments__in=_told(StaffTask.Kind.UNMATCHED_PAYMENT)))


def _told(*kinds: StaffTask.Kind) -> list[int]:
    """The ids of the rows that staff have or had a task for."""
    subjects = StaffTask.objects.filter(kind__in=kinds).values_list("subject", flat=True)
    return [int(subject.rpartition(":")[2]) for subject in subjects]


def _refunded_above_the_payment() -> Any:
    ours = Sum("refunds__amount_cents", filter=Q(refunds__status__in=set(COUNTED) - {RefundStatus.EXTERNAL}))
    gone = Sum("refunds__amount_cents", filter=Q(refunds__status__in=GONE_BACK))
    sums = Payment.objects.exclude(refunds__cause=RefundCause.DISPUTE).annotate(ours=ours, gone=gone)
    return _pks(sums.filter(Q(ours__gt=F("amount_cents")) | Q(gone__gt=F("amount_cents"))))


def _refunded_without_right() -> Any:
    under_way = [RefundStatus.APPROVED, RefundStatus.SENDING, RefundStatus.UNKNOWN, RefundStatus.SUCCEEDED]
    unasked = Q(status__in=under_way, approved_by=None, is_by_rule=False) & ~Q(
        cause__in=[RefundCause.UNMATCHED, RefundCause.TAKEN_OVER]
    )
    unasked |= Q(status__in=under_way, is_by_rule=True, needs_second_person=True)
    alone = Q(needs_second_person=True, requested_by__isnull=False, approved_by=F("requested_by"))
    return _pks(Refund.objects.filter(unasked | alone))


def _stuck_refunds() -> Any:
    """Sent more than an hour ago; one that Stripe calls pending may take days."""
    long_ago = clock.now() - timedelta(minutes=60)
    sent = RefundTransition.objects.filter(
        refund=OuterRef("pk"), to_status="sending", created_at__lt=long_ago
    )
    pending = Q(status=RefundStatus.SENDING, stripe_refund_id__isnull=False)
    open_ones = Refund.objects.filter(status__in=[RefundStatus.SENDING, RefundStatus.UNKNOWN])
    silent = open_ones.exclude(pending).exclude(pk__in=_told(StaffTask.Kind.REFUND_UNKNOWN))
    return _pks(silent.filter(Exists(sent)))


def _stuck_cancellations() -> Any:
    long_ago = clock.now() - timedelta(minutes=60)
    waiting = Cancellation.objects.waiting().filter(created_at__lt=long_ago)
    return _pks(waiting.exclude(pk__in=_told(StaffTask.Kind.CANCELLATION_WAITING)))


def _amounts_that_differ() -> Any:
    differing = Payment.objects.filter(installment__isnull=False)
    return _pks(differing.exclude(amount_cents=F("installment__amount_cents"), currency=F("order__currency")))


def _owed_in_another_currency() -> Any:
    """CURRENCY was changed while families owed: pages would show one currency and Stripe charge the other."""
    owing = Installment.objects.open().exclude(order__currency=settings.CURRENCY)
    return _pks(owing.filter(order__status__in=ALIVE))


def _charged_without_right() -> Any:
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
    charged = ChargeAttempt.objects.on_saved_cards()
    return _pks(charged.filter(early | no_consent | of_another | without_plan))


def _charged_a_card_not_agreed_for() -> Any:
    """Under whatever consent: this card was never to pay this order."""
    agreed = CardAgreement.objects.filter(card=OuterRef("card"), order=OuterRef("installment__order"))
    charged = ChargeAttempt.objects.on_saved_cards().filter(card__isnull=False)
    return _pks(charged.filter(~Q(Exists(agreed))))


def _cards_of_another_family() -> list[str]:
    """Charged, or agreed for an order or a place that is not of the card's own family."""
    charged = ChargeAttempt.objects.exclude(card=None).exclude(
        card__household=F("installment__order__household")
    )
    orders = CardAgreement.objects.exclude(order=None).exclude(order__household=F("card__household"))
    places = CardAgreement.objects.exclude(waitlist_consent=None).exclude(
        waitlist_consent__enrollment__child__household=F("card__household")
    )
    return [
        *(f"attempt {pk}" for pk in _pks(charged)),
        *(f"agreement {pk}" for pk in [*_pks(orders), *_pks(places)]),
    ]


def _two_cards_for_one_thing() -> list[str]:
    """The database refuses them; this sees that it still does."""
    current = CardAgreement.objects.current().order_by()
    return [
        f"{name} {row[name]}"
        for name in ("order", "waitlist_consent")
        for row in current.exclude(**{name: None}).values(name).annotate(n=Count("pk")).filter(n__gt=1)
    ]


def _replaced_cards_that_pay() -> Any:
    return _pks(CardAgreement.objects.current().filter(card__replaced_at__isnull=False))


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
    long_ago = clock.now() - timedelta(minutes=60)
    open_ones = ChargeAttempt.objects.filter(status__in=[ChargeStatus.SENDING, ChargeStatus.UNKNOWN])
    told = (
        StaffTask.objects.open().filter(kind=StaffTask.Kind.CHARGE_UNKNOWN).values_list("subject", flat=True)
    )
    known = [int(subject.rpartition(":")[2]) for subject in told]
    return _pks(open_ones.filter(created_at__lt=long_ago).exclude(pk__in=known))


def _charging_without_attempt() -> Any:
    charging = Installment.objects.filter(status="charging")
    payable = Q(attempts__status__in=OPEN_CHARGE) | Q(
        attempts__kind__in=SESSIONS, attempts__status="declined", attempts__session_closed_at=None
    )
    return _pks(charging.exclude(payable))


def _parked_in_silence() -> Any:
    told = StaffTask.objects.filter(kind=StaffTask.Kind.EVENT_PARKED).values_list("subject", flat=True)
    known = [int(subject.rpartition(":")[2]) for subject in told]
    return _pks(StripeEvent.objects.filter(status="parked").exclude(pk__in=known))


def _overdrawn() -> Any:
    """Families that have spent more than they had. A line tells its order, so no sum may be below zero."""
    spent = Household.objects.annotate(balance_cents=Sum("credits__amount_cents"))
    return _pks(spent.filter(balance_cents__lt=0))


def _ran_out_above_its_grant() -> Any:
    ended = Credit.objects.grants().annotate(ended_cents=Sum("expiries__amount_cents"))
    return _pks(ended.filter(ended_cents__lt=-F("amount_cents")))


def _returned_otherwise_than_spent() -> Any:
    """What an order gave back must be what it took, and be the same family's."""
    took = Credit.objects.filter(
        cause=CreditCause.SPENT,
        order=OuterRef("order"),
        household=OuterRef("household"),
        amount_cents=-OuterRef("amount_cents"),
    )
    back = Credit.objects.filter(cause=CreditCause.RETURNED)
    strangers = Credit.objects.exclude(order=None).exclude(order__household=F("household"))
    return {*_pks(back.filter(~Q(Exists(took)))), *_pks(strangers)}


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
    Invariant("M3", "cancellations that told other figures than they made", _changes_that_do_not_add_up),
    Invariant("M8", "orders paid above what is owed, without a refund or a task", _overpaid),
    Invariant("M9", "payments of another amount or currency than their installment", _amounts_that_differ),
    Invariant("M9", "installments owed in another currency than the school's", _owed_in_another_currency),
    Invariant("M10", "payments with refunds above them", _refunded_above_the_payment),
    Invariant("M10", "refunds approved by nobody, or by who asked above the limit", _refunded_without_right),
    Invariant("M11", "automatic charges before the due date or without consent", _charged_without_right),
    Invariant("M11", "charges of a card that was not agreed for their order", _charged_a_card_not_agreed_for),
    Invariant("M11", "cards that pay for another family", _cards_of_another_family),
    Invariant("M11", "orders and places with two current cards", _two_cards_for_one_thing),
    Invariant("M11", "cards that were replaced and still pay", _replaced_cards_that_pay),
    Invariant("M12", "installments charged too often", _too_many_tries),
    Invariant("M12", "charges of a card that was refused for good before", _asked_after_a_hard_no),
    Invariant("M13", "installments in a state that they cannot be in", *legal(Installment, "scheduled")),
    Invariant("M13", "charge attempts in a state that they cannot be in", *legal(ChargeAttempt, "created")),
    Invariant("M13", "refunds in a state that they cannot be in", *legal(Refund, "requested external")),
    Invariant("M13", "cancellations in a state that they cannot be in", *legal(Cancellation, "waiting")),
    Invariant(
        "M13", "lines of a closed class in a state that they cannot be in", *legal(ClosureLine, "waiting")
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
    Invariant("M15", "families with less than no credit", _overdrawn),
    Invariant("M15", "credit of which more ran out than was given", _ran_out_above_its_grant),
    Invariant("M15", "credit that is not its order's", _returned_otherwise_than_spent),
    Invariant(
        "M16", "differences between our books and Stripe's", lambda: _pks(BookDifference.objects.open())
    ),
    Invariant("Y1", "charges without an outcome for an hour that nobody was told of", _stuck_charges),
    Invariant("Y1", "refunds without an outcome for an hour that nobody was told of", _stuck_refunds),
    Invariant("Y1", "cancellations that wait for an hour and nobody was told of", _stuck_cancellations),
    Invariant("Y1", "installments being charged without an attempt", _charging_without_attempt),
    Invariant("Y2", "parked events that nobody was told of", _parked_in_silence),
]
