"""An installment is due, and there is no card that can be charged for it."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import Installment, InstallmentStatus, InstallmentTransition
from billing.models.cards import CARD_EXPIRED, CARD_GONE, CARD_OUTDATED, CARD_REFUSED
from csf import clock
from notifications.facts.due import DueInstallment, with_story
from notifications.facts.recipients import guardians
from notifications.facts.samples import BARE, HOSTILE, HOSTILE_FAMILY, HUGE, installment
from notifications.facts.snapshots import card_facts, installment_story
from notifications.spec import Email, Snapshot, Trigger, after
from orders.models import OrderStatus

NO_CARD_WORDS = _("No card is saved for it.")
CARD_WORDS = {
    CARD_GONE: _("The card is no longer saved with our payment provider."),
    CARD_REFUSED: _("The bank no longer accepts charges to the card."),
    CARD_OUTDATED: _("The bank asks for another card."),
    CARD_EXPIRED: _("The card has expired."),
}


def snapshot(fact: InstallmentTransition) -> Snapshot:
    """The card that would have been charged, if there is one, and why it cannot be."""
    part = with_story(Installment.objects.filter(pk=fact.installment_id)).get()
    card = DueInstallment(part).card
    words = CARD_WORDS.get(card.why_not_charged(max(clock.today(), part.due_on))) if card else None
    return installment_story(part) | card_facts(card) | {"reason": str(words or NO_CARD_WORDS)}


def owes(moved: InstallmentTransition) -> bool:
    """Nothing was tried; a try that failed has an email of its own."""
    untried = moved.from_status in {InstallmentStatus.SCHEDULED, InstallmentStatus.RETRY_WAIT}
    return untried and moved.to_status == InstallmentStatus.NEEDS_CARD


def still_needs_card(facts: Iterable[int]) -> set[int]:
    moved = InstallmentTransition.objects.filter(
        pk__in=facts,
        installment__status=InstallmentStatus.NEEDS_CARD,
        installment__held_at=None,
        installment__order__charges_paused_at=None,
        installment__order__status=OrderStatus.CONFIRMED,
    )
    return set(moved.values_list("pk", flat=True))


EMAIL = Email(
    kind="card_needed",
    title=_("Another card needed"),
    when="an installment is due and its card cannot be charged: gone at Stripe, refused, expired, or none",
    topic="money",
    trigger=Trigger(InstallmentTransition, owes=owes, order="installment__order"),
    recipients=lambda fact: guardians(fact.installment.order.household),
    family=attrgetter("installment.order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"installment:{fact.installment_id}:card:{fact.pk}",
    accent="red",
    is_copy_harmless=True,
    expires=after(timedelta(days=3)),
    priority=3,
    still_true=still_needs_card,
    samples={
        "minimal": installment(**BARE, reason="No card is saved for it."),
        "typical": installment(reason="The card has expired."),
        "huge": installment(**HUGE, reason="The card is no longer saved with our payment provider."),
        "hostile": installment(**HOSTILE_FAMILY, reason=HOSTILE),
    },
)
