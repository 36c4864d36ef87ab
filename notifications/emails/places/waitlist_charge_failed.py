"""The seat of the priority waitlist is held, but the saved card did not pay for it."""

from collections.abc import Iterable
from datetime import datetime
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import ChargeAttemptTransition, ChargeStatus
from notifications.facts import charges, waitlist
from notifications.facts.recipients import charged_family
from notifications.facts.samples import ORDER
from notifications.facts.snapshots import attempt_facts
from notifications.spec import Email, Snapshot, Trigger
from orders.models import OrderStatus

NOT_PAID = {
    ChargeStatus.DECLINED,
    ChargeStatus.NEEDS_AUTH,
    ChargeStatus.REJECTED,
    ChargeStatus.NOT_EXECUTED,
}


def owes(moved: ChargeAttemptTransition) -> bool:
    return moved.to_status in NOT_PAID and charges.is_for_waitlist_seat(moved)


def snapshot(fact: ChargeAttemptTransition) -> Snapshot:
    attempt = fact.chargeattempt
    order = attempt.installment.order
    return (
        waitlist.ordered_place_facts(order)
        | attempt_facts(fact)
        | {
            "held_until": order.held_until and order.held_until.isoformat(),
            "card_brand": attempt.card.brand if attempt.card else "",
            "card_last4": attempt.card.last4 if attempt.card else "",
            "needs_auth": fact.to_status == ChargeStatus.NEEDS_AUTH,
            "is_declined": fact.to_status == ChargeStatus.DECLINED,
        }
    )


def expires(fact: ChargeAttemptTransition) -> datetime | None:
    """when the seat is no longer held"""
    return fact.chargeattempt.installment.order.held_until


def still_unpaid(facts: Iterable[int]) -> set[int]:
    unpaid = ChargeAttemptTransition.objects.filter(
        pk__in=facts, chargeattempt__installment__order__status=OrderStatus.PLACED
    )
    return set(unpaid.values_list("pk", flat=True))


EMAIL = Email(
    kind="waitlist_charge_failed",
    title=_("Waitlist payment failed"),
    when="the card of the priority tier is declined",
    topic="places",
    trigger=Trigger(ChargeAttemptTransition, owes=owes, order=charges.ORDER),
    recipients=charged_family,
    family=attrgetter(charges.FAMILY),
    snapshot=snapshot,
    key=charges.attempt_key,
    accent="red",
    is_copy_harmless=True,
    expires=expires,
    priority=2,
    still_true=still_unpaid,
    samples=waitlist.samples(
        waitlist.place(
            amount_cents=18_000,
            card_brand="visa",
            card_last4="4242",
            failed_at="2026-08-29T21:00:41+00:00",
            held_until=waitlist.ENDS_AT,
            reason="There was not enough money on the card.",
            needs_auth=False,
            is_declined=True,
            **ORDER,
        ),
        bank={"needs_auth": True, "is_declined": False},
        not_executed={"is_declined": False, "card_brand": "", "card_last4": ""},
    ),
)
