"""The office gave a family credit. Credit for a cancellation or a move is part of their own emails."""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from billing.ledger.credits import spendable
from billing.models import Credit, CreditCause
from csf import clock
from notifications.facts.recipients import guardians
from notifications.facts.samples import HOSTILE, LONG
from notifications.spec import Email, RequiredFor, Snapshot, Trigger, after


def snapshot(fact: Credit) -> Snapshot:
    balance = spendable(fact.household, on=clock.today())
    return {
        "amount_cents": fact.amount_cents,
        "reason": fact.reason,
        "until": fact.expires_on and fact.expires_on.isoformat(),
        "balance_cents": sum(grant.left_cents for grant in balance),
        "account_path": reverse("account"),
    }


def _sample(**changes: Any) -> Snapshot:
    return {
        "first_name": "Maria",
        "amount_cents": 3_000,
        "reason": "For the session without a coach",
        "until": "2027-09-20",
        "balance_cents": 4_500,
        "account_path": "/account/",
    } | changes


EMAIL = Email(
    kind="credit_added",
    title=_("Credit added"),
    when="staff grant a credit",
    topic="money",
    trigger=Trigger(Credit, owes=lambda credit: credit.cause == CreditCause.GRANTED, order="order"),
    required_for=RequiredFor(Credit.objects.filter(cause="granted"), household="household"),
    recipients=lambda fact: guardians(fact.household),
    family=attrgetter("household_id"),
    snapshot=snapshot,
    key=lambda fact: f"credit:{fact.pk}",
    accent="green",
    is_copy_harmless=False,
    expires=after(timedelta(days=7)),
    samples={
        "minimal": _sample(first_name="", reason="", until=None, balance_cents=3_000),
        "typical": _sample(),
        "huge": _sample(first_name=LONG, reason=f"{LONG} " * 4, amount_cents=123_456_789),
        "hostile": _sample(first_name=HOSTILE, reason=HOSTILE),
    },
)
