"""A card that is no longer charged although payments are ahead: it was removed at Stripe, or the family has
stopped its charges. The family gets one email, and pays each of them itself or adds another card."""

from django.db import transaction
from django.db.models import QuerySet

from billing.models import (
    Card,
    CardAgreement,
    CardStop,
    CardStopReason,
    Installment,
    InstallmentStatus,
)
from billing.models.cards import CARD_GONE
from csf.clock import Now
from csf.database.retry import again_after_deadlock
from enrollments.locks import lock_household
from enrollments.models import User
from orders.locks import lock_orders
from orders.models import Order, OrderStatus

WITHDRAWN = "the family has stopped the charges of its card"


@again_after_deadlock
@transaction.atomic
def withdraw(card: Card, *, by: User) -> bool:
    """The family wants the card no longer charged for anything. False if it pays for nothing, as after a
    second click."""
    lock_family(card)
    same = Card.objects.like(card)
    if not CardAgreement.objects.current().filter(card__in=same).exists():
        return False
    stopped = _paid_by(same)
    waiting, payments = _waiting(stopped), _ahead(stopped)
    CardAgreement.objects.current().filter(card__in=same).update(ended_at=Now())
    _ask_for_another(waiting, reason=WITHDRAWN)
    _record(card, payments, reason=CardStopReason.WITHDRAWN, by=by)
    return True


def stop_gone(card: Card) -> None:
    """Stripe no longer has it: installments already due with it need another card. Under the family's
    lock."""
    stopped = _paid_by(Card.objects.filter(pk=card.pk))
    waiting, payments = _waiting(stopped), _ahead(stopped)
    _ask_for_another(waiting, reason=CARD_GONE)
    _record(card, payments, reason=CardStopReason.GONE)


def lock_family(card: Card) -> None:
    """The family, then its orders."""
    lock_household(card.household_id)
    lock_orders(Order.objects.filter(household=card.household_id))


def _paid_by(cards: QuerySet[Card]) -> QuerySet[Installment]:
    return Installment.objects.filter(
        order__card_agreements__card__in=cards,
        order__card_agreements__ended_at=None,
        order__status=OrderStatus.CONFIRMED,
        held_at=None,
    )


def _waiting(stopped: QuerySet[Installment]) -> list[Installment]:
    return list(stopped.filter(status=InstallmentStatus.RETRY_WAIT))


def _ahead(stopped: QuerySet[Installment]) -> list[Installment]:
    """What would be charged automatically when it is due."""
    ahead = stopped.filter(
        status=InstallmentStatus.SCHEDULED, consent__isnull=False, order__charges_paused_at=None
    )
    return list(ahead.select_related("order").order_by("due_on", "pk"))


def _ask_for_another(waiting: list[Installment], *, reason: str) -> None:
    for installment in waiting:
        installment.transition_to(InstallmentStatus.NEEDS_CARD, reason=reason)


def _record(
    card: Card, payments: list[Installment], *, reason: CardStopReason, by: User | None = None
) -> None:
    """This row triggers the email; there is none if no payment is ahead."""
    if payments:
        facts = [
            {
                "due_on": part.due_on.isoformat(),
                "amount_cents": part.amount_cents,
                "order_number": part.order.number,
            }
            for part in payments
        ]
        CardStop.objects.create(card=card, reason=reason, payments=facts, by=by)
