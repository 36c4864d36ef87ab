"""A saved card expires before an installment that it is to pay."""

import datetime
from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.ledger.cards import card_that_pays
from billing.models import Card
from csf import clock
from csf.dates import start_of_day
from csf.jobs.schedules import daily_run_at
from notifications.facts.due import ExpiringCard
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import HOSTILE, LONG, card
from notifications.facts.snapshots import card_facts
from notifications.spec import Email, Snapshot
from orders.models import Order


def snapshot(fact: ExpiringCard) -> Snapshot:
    return card_facts(fact.card) | {
        "expires": f"{fact.card.exp_month:02}/{fact.card.exp_year}",
        "missed": [
            {
                "due_on": part.due_on.isoformat(),
                "amount_cents": part.amount_cents,
                "order_number": part.order.number,
            }
            for part in fact.missed
        ],
    }


def first_notice_at(fact: ExpiringCard) -> datetime.datetime:
    first_on = fact.due_on - timedelta(days=fact.notice_days)
    return max(daily_run_at("send_card_notices", on=first_on), fact.card.saved_at)


def expires(fact: ExpiringCard) -> datetime.datetime:
    """when the due day begins"""
    return start_of_day(fact.due_on)


def is_still_used(facts: Iterable[int]) -> set[int]:
    return set(Card.objects.usable().filter(pk__in=facts).values_list("pk", flat=True))


def of_order(order: Order) -> ExpiringCard | None:
    """The facts as if the family's card expired before the next payments."""
    card = card_that_pays(order, on=clock.today())
    missed = list(order.installments.open().select_related("order").order_by("due_on", "number"))
    return ExpiringCard(card, missed) if card and card.exp_month and missed else None


EMAIL = Email(
    kind="card_expiring",
    title=_("Card expiring"),
    when="daily job, 30 and 7 days before an installment whose card will have expired",
    topic="money",
    of_order=of_order,
    recipients=its_recipients,
    family=attrgetter("card.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"card:{fact.pk}:{fact.due_on}:{fact.notice_days}",
    happened_at=first_notice_at,
    accent="orange",
    is_copy_harmless=True,
    expires=expires,
    still_true=is_still_used,
    samples={
        "minimal": card(first_name="", card_brand="", card_last4="", missed=[card()["missed"][0]]),
        "typical": card(),
        "huge": card(first_name=LONG, card_brand="amex", missed=card()["missed"] * 30),
        "hostile": card(first_name=HOSTILE, card_brand=HOSTILE),
    },
)
