"""An attempt to pay was declined: on the checkout, by the saved card, or on the page of an invoice."""

import datetime
from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext_lazy as _

from billing.installments.dunning import next_try_on
from billing.installments.next_step import Step, next_step_of
from billing.models import (
    ChargeAttempt,
    ChargeAttemptTransition,
    ChargeKind,
    ChargeStatus,
    Installment,
    InstallmentStatus,
)
from billing.models.charges import ON_STRIPES_PAGES
from billing.models.installments import OPEN_INSTALLMENT
from csf import clock
from csf.dates import start_of_day
from notifications.facts import charges
from notifications.facts.order_states import ALIVE
from notifications.facts.recipients import charged_family
from notifications.facts.samples import BARE, HOSTILE, HOSTILE_FAMILY, HUGE, LONG, ORDER, installment
from notifications.facts.snapshots import (
    attempt_facts,
    installment_story,
    installment_with_story,
    order_facts,
)
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger

FINAL_STAGE = 4
NO_PLAN: Snapshot = {
    "stage": None,
    "next_try_on": None,
    "is_final": False,
    "on_page": False,
    "charge_on": None,
    "held_until": None,
}
"""What only some of the three say."""


def snapshot(fact: ChargeAttemptTransition) -> Snapshot:
    match fact.chargeattempt.kind:
        case ChargeKind.CHECKOUT:
            return NO_PLAN | _checkout_decline(fact)
        case ChargeKind.HOSTED | ChargeKind.PAGE:
            return NO_PLAN | _invoice_page_decline(fact)
    return NO_PLAN | _saved_card_decline(fact)


def _checkout_decline(fact: ChargeAttemptTransition) -> Snapshot:
    order = fact.chargeattempt.installment.order
    held_until = order.held_until and order.held_until.isoformat()
    return order_facts(order) | attempt_facts(fact) | {"held_until": held_until}


def _saved_card_decline(fact: ChargeAttemptTransition) -> Snapshot:
    """Which notice it is, and what happens next."""
    part = installment_with_story(fact)
    next_on = part.next_try_on
    return (
        installment_story(part)
        | attempt_facts(fact)
        | {
            "stage": _stage(part),
            "next_try_on": next_on and next_on.isoformat(),
            "is_final": part.status == InstallmentStatus.EXHAUSTED,
        }
    )


def _invoice_page_decline(fact: ChargeAttemptTransition) -> Snapshot:
    """The parent tried it on Stripe's page: the existing plan still applies."""
    part, attempt = installment_with_story(fact), fact.chargeattempt
    if attempt.status_before:  # while its page is open the installment says only that it is being paid
        part.status, part.next_try_on = attempt.status_before, attempt.next_try_before
    charge_on = _charged_by_itself_on(part)
    return (
        installment_story(part)
        | attempt_facts(fact)
        | {"on_page": True, "charge_on": charge_on and charge_on.isoformat()}
    )


def _charged_by_itself_on(part: Installment) -> datetime.date | None:
    """When the job charges the saved card, as things stand."""
    step = next_step_of(part, on=clock.today())
    return step.on if step.kind == Step.CHARGE else None


def _stage(part: Installment) -> int:
    """1 and 2 announce the next try, 3 that the next is the last, 4 that there is none."""
    next_on = part.next_try_on
    if part.status == InstallmentStatus.EXHAUSTED:
        return FINAL_STAGE
    if next_on and next_try_on(due_on=part.due_on, on=next_on) is None:
        return FINAL_STAGE - 1
    declined = part.attempts.filter(kind=ChargeKind.AUTO, status=ChargeStatus.DECLINED).count()
    return min(max(declined, 1), 2)


def owes(moved: ChargeAttemptTransition) -> bool:
    return moved.to_status == ChargeStatus.DECLINED and not charges.is_for_waitlist_seat(moved)


def delay(fact: ChargeAttemptTransition) -> timedelta:
    """On a payment page the parent often pays a moment later; a saved card is not tried again right away."""
    on_page = fact.chargeattempt.kind in ON_STRIPES_PAGES
    return timedelta(seconds=settings.CHECKOUT_DECLINE_MAIL_DELAY_S if on_page else 0)


def expires(fact: ChargeAttemptTransition) -> datetime.datetime:
    """on Stripe's page after 24 hours, else on the day of the next try, or after 7 days"""
    attempt = fact.chargeattempt
    if attempt.kind in ON_STRIPES_PAGES:
        return clock.now() + timedelta(hours=24)
    next_on = attempt.installment.next_try_on
    return start_of_day(next_on) if next_on else clock.now() + timedelta(days=7)


def still_declined(facts: Iterable[int]) -> set[int]:
    open_declines = ChargeAttemptTransition.objects.filter(
        pk__in=facts,
        chargeattempt__status=ChargeStatus.DECLINED,
        chargeattempt__installment__status__in=OPEN_INSTALLMENT,
        chargeattempt__installment__order__status__in=ALIVE,
    )
    later = ChargeAttempt.objects.filter(
        installment=OuterRef("chargeattempt__installment"), number__gt=OuterRef("chargeattempt__number")
    )
    # Of several declines on an invoice's page only the last one is news; the job's own try says more.
    overtaken = Q(Exists(later), chargeattempt__kind__in=[ChargeKind.HOSTED, ChargeKind.PAGE])
    return set(open_declines.exclude(overtaken).values_list("pk", flat=True))


def samples() -> Samples:
    return {
        "minimal": _checkout(first_name="", card_brand="", card_last4="", held_until=None),
        "typical": _checkout(),
        "huge": _checkout(first_name=LONG, amount_cents=123_456_789, card_brand="amex"),
        "hostile": _checkout(first_name=HOSTILE, card_brand=HOSTILE, reason=HOSTILE),
        "saved_card_minimal": _saved_card(**BARE, next_try_on=None),
        "first_notice": _saved_card(),
        "second_notice": _saved_card(stage=2, next_try_on="2026-10-05"),
        "last_try_ahead": _saved_card(stage=3, next_try_on="2026-10-12"),
        "final_notice": _saved_card(stage=4, next_try_on=None, is_final=True),
        "another_card": _saved_card(next_try_on=None, reason="The card has expired."),
        "saved_card_huge": _saved_card(**HUGE),
        "saved_card_hostile": _saved_card(**HOSTILE_FAMILY, reason=HOSTILE),
        "invoice_page": _invoice_page(),
        "invoice_page_minimal": _invoice_page(**BARE, charge_on=None),
        "invoice_page_huge": _invoice_page(**HUGE),
        "invoice_page_hostile": _invoice_page(**HOSTILE_FAMILY, reason=HOSTILE),
    }


def _checkout(**changes: Any) -> Snapshot:
    facts = {
        "first_name": "Maria",
        "amount_cents": 53_700,
        "failed_at": "2026-08-29T21:07:41+00:00",
        "card_brand": "visa",
        "card_last4": "9995",
        "reason": "There was not enough money on the card.",
        "held_until": "2026-08-29T21:35:12+00:00",
    }
    return ORDER | NO_PLAN | facts | changes


def _saved_card(**changes: Any) -> Snapshot:
    facts = {
        "failed_at": "2026-09-28T14:00:41+00:00",
        "reason": "There was not enough money on the card.",
        "stage": 1,
        "next_try_on": "2026-10-01",
    }
    return installment() | NO_PLAN | facts | changes


def _invoice_page(**changes: Any) -> Snapshot:
    facts = {
        "failed_at": "2026-09-28T14:00:41+00:00",
        "reason": "There was not enough money on the card.",
        "on_page": True,
        "charge_on": "2026-10-01",
    }
    return installment() | NO_PLAN | facts | changes


EMAIL = Email(
    kind="payment_failed",
    title=_("Payment failed"),
    when="an attempt is declined; from a page of Stripe only if nothing was paid 10 minutes later",
    topic="money",
    trigger=Trigger(ChargeAttemptTransition, owes=owes, order=charges.ORDER),
    required_for=RequiredFor(
        charges.OF_PLACED_ORDERS.filter(to_status="declined"),
        household=f"{charges.ORDER}__household",
        about="chargeattempt",
    ),
    recipients=charged_family,
    family=attrgetter(charges.FAMILY),
    snapshot=snapshot,
    key=charges.attempt_key,
    accent="red",
    is_copy_harmless=True,
    delay=delay,
    expires=expires,
    priority=3,
    still_true=still_declined,
    samples=samples(),
)
