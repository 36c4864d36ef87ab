"""Another card that a parent saved on Stripe's page: what it pays from now on, and what is tried with it."""

import datetime
import uuid
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import transaction

from billing.installments.dunning import start_attempt
from billing.ledger.cards import save_card, use_card_as_requested
from billing.ledger.settle import StripeObject
from billing.models import Card, CardUpdate, ChargeKind, Installment, InstallmentStatus
from billing.models.installments import CHARGEABLE
from billing.stripe.objects import uuid_in
from billing.task_kinds import MoneyTask
from csf import clock
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from csf.jobs.queue import enqueue
from csf.models import StaffTask
from csf.state import Stale
from enrollments.locks import lock_household
from enrollments.models import Household
from orders.locks import lock_orders
from orders.models import Order, OrderStatus


@again_after_deadlock
@transaction.atomic
def settle_setup_intent(intent: StripeObject) -> Card | None:
    """A parent saved another card on Stripe's page: from now on it pays what that page was opened for.

    What waits for another card is tried again on the next day of the job, without counting the old card's
    tries. What was due when the parent asked is charged at once, if they ticked that, and only once.
    """
    metadata = intent.get("metadata") or {}
    household = _household(metadata.get("household")) if metadata.get("purpose") == "card_update" else None
    if household is None or intent["status"] != "succeeded":
        return None
    lock_household(household.pk)
    lock_orders(Order.objects.filter(household=household))
    card = save_card(household=household, method=intent["payment_method"])
    update = _update_to_finish(card, uuid_in(intent, "card_update"))
    if update is None:
        return card
    orders = use_card_as_requested(card, update=update)
    if not card.why_not_charged(clock.today()):
        enqueue("billing.tasks.sweep_waitlist")  # whose place waits for a card moves up
        try_again_with(card, [InstallmentStatus.NEEDS_CARD, InstallmentStatus.EXHAUSTED])
        if update.charge_now:
            _charge_what_was_due(card, orders, on=local_date(update.created_at))
    return card


def try_again_with(card: Card, stuck_in: list[InstallmentStatus]) -> None:
    """What is stuck in these states, of the orders that this card pays: on the job's next day. The caller
    holds the locks of these orders."""
    tomorrow = clock.today() + timedelta(days=1)
    stuck = Installment.objects.filter(
        order__card_agreements__card=card, order__card_agreements__ended_at=None, status__in=stuck_in
    )
    for installment in stuck:
        installment.wait_until(max(tomorrow, installment.due_on), reason="there is a card to charge")


def _update_to_finish(card: Card, public_id: uuid.UUID | None) -> CardUpdate | None:
    """The request for this card; None if it was reported before, or is not in this database."""
    updates = CardUpdate.objects.filter(household=card.household_id)
    updates = updates.filter(public_id=public_id) if public_id else updates.none()
    update = updates.first()
    if update is None:
        detail = "What it should pay for is not in this database. Ask the family to replace the card again."
        StaffTask.open(MoneyTask.CARD_UNKNOWN, card, detail)
        return None
    return update if updates.filter(finished_at=None).update(finished_at=clock.now()) else None


def _charge_what_was_due(card: Card, orders: list[Order], *, on: datetime.date) -> None:
    due = Installment.objects.filter(
        order__in=orders,
        order__status=OrderStatus.CONFIRMED,
        order__charges_paused_at=None,
        held_at=None,
        consent__isnull=False,
        status__in=CHARGEABLE,
        due_on__lte=on,
    )
    for installment in due.select_related("order"):
        with suppress(Stale):  # a place of its order was cancelled, and the money is not settled: it can wait
            start_attempt(installment, card=card, kind=ChargeKind.PARENT, on=clock.today())
    enqueue("billing.tasks.charge")


def _household(public_id: Any) -> Household | None:
    try:
        return Household.objects.filter(public_id=uuid.UUID(str(public_id))).first()
    except ValueError:
        return None
