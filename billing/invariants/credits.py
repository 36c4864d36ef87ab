"""About the credit of families."""

from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, Sum

from billing.models import Credit, CreditCause
from csf.proofs.invariants import Invariant, pks
from enrollments.models import Household


def _overdrawn() -> Any:
    """Families that have spent more than they had: no balance may be below zero."""
    have = Credit.objects.order_by().values("household").annotate(balance_cents=Sum("amount_cents"))
    overdrawn = have.filter(balance_cents__lt=0).values("household")
    return pks(Household.objects.filter(pk__in=overdrawn))


def _ran_out_above_its_grant() -> Any:
    ended = Credit.objects.grants().annotate(ended_cents=Sum("expiries__amount_cents"))
    return pks(ended.filter(ended_cents__lt=-F("amount_cents")))


def _returned_otherwise_than_spent() -> Any:
    """What an order returned must be what it took, from the same family."""
    took = Credit.objects.filter(
        cause=CreditCause.SPENT,
        order=OuterRef("order"),
        household=OuterRef("household"),
        amount_cents=-OuterRef("amount_cents"),
    )
    back = Credit.objects.filter(cause=CreditCause.RETURNED)
    strangers = Credit.objects.exclude(order=None).exclude(order__household=F("household"))
    return {*pks(back.filter(~Exists(took))), *pks(strangers)}


def _without_a_cause() -> Any:
    """The row that each of these was given for."""
    nowhere = Q(cause=CreditCause.CANCELLATION, cancellation=None)
    nowhere |= Q(cause=CreditCause.SESSION, closure_line=None)
    nowhere |= Q(cause__in=[CreditCause.TRANSFER, CreditCause.REFUND], order=None)
    return pks(Credit.objects.filter(nowhere))


def _spent_twice() -> Any:
    used = Credit.objects.filter(cause__in=[CreditCause.SPENT, CreditCause.RETURNED]).order_by()
    return [row["order"] for row in used.values("order", "cause").annotate(n=Count("pk")).filter(n__gt=1)]


INVARIANTS = [
    Invariant("M15", "families with less than no credit", _overdrawn),
    Invariant("M15", "credit of which more expired than was given", _ran_out_above_its_grant),
    Invariant("M15", "credit that is not its order's", _returned_otherwise_than_spent),
    Invariant("M15", "credit without the cancellation or move it was given for", _without_a_cause),
    Invariant("M15", "orders that took or gave back credit twice", _spent_twice),
]
