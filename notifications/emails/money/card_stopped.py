"""A card will no longer be charged, by the family's wish or because Stripe no longer has it."""

from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.models import CardStop
from notifications.facts.recipients import guardians
from notifications.facts.samples import HOSTILE, LONG, card
from notifications.facts.snapshots import card_facts
from notifications.spec import Email, RequiredFor, Snapshot, Trigger, after


def snapshot(fact: CardStop) -> Snapshot:
    """What the card will not be charged for, and why."""
    return card_facts(fact.card) | {"by_family": fact.by_id is not None, "payments": fact.payments}


def _sample(**changes: Any) -> Snapshot:
    facts = card(by_family=False)
    facts["payments"] = facts.pop("missed")
    del facts["expires"]
    return facts | changes


EMAIL = Email(
    kind="card_stopped",
    title=_("Card no longer charged"),
    when="payments are ahead, and their card was removed at Stripe or the family has stopped its charges",
    topic="money",
    trigger=Trigger(CardStop, order="card__agreements__order"),
    required_for=RequiredFor(CardStop.objects.all(), household="card__household"),
    recipients=lambda fact: guardians(fact.card.household, and_who=fact.by),
    family=attrgetter("card.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"card_stop:{fact.pk}",
    accent="orange",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    samples={
        "minimal": _sample(first_name="", card_brand="", card_last4="", payments=_sample()["payments"][:1]),
        "typical": _sample(),
        "by_family": _sample(by_family=True),
        "huge": _sample(first_name=LONG, card_brand="amex", payments=_sample()["payments"] * 30),
        "hostile": _sample(first_name=HOSTILE, card_brand=HOSTILE),
    },
)
