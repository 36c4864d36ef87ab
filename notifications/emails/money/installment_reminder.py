"""An installment will be due in a few days."""

import datetime
from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.conf import settings
from django.utils.translation import gettext_lazy as _

from billing.installments.next_step import Step, next_step
from billing.models import Installment
from csf.dates import start_of_day
from csf.jobs.schedules import daily_run_at
from notifications.facts.due import DueInstallment, next_to_pay, upcoming
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import BARE, HOSTILE_FAMILY, HUGE, installment
from notifications.facts.snapshots import card_facts, installment_story
from notifications.spec import Choice, Email, Snapshot
from orders.models import Order


def snapshot(fact: DueInstallment) -> Snapshot:
    card, due_on = fact.card, fact.installment.due_on
    will_charge = next_step(fact.installment, card=card, on=due_on).kind == Step.CHARGE
    return installment_story(fact.installment) | card_facts(card) | {"will_charge": will_charge}


def first_reminder_at(fact: DueInstallment) -> datetime.datetime:
    part: Installment = fact.installment
    first_on = part.due_on - timedelta(days=max(settings.REMINDER_DAYS, default=0))
    return max(daily_run_at("send_installment_reminders", on=first_on), part.created_at)


def expires(fact: DueInstallment) -> datetime.datetime:
    """when the due day begins"""
    return start_of_day(fact.installment.due_on)


def is_still_upcoming(facts: Iterable[int]) -> set[int]:
    return set(upcoming().filter(pk__in=facts).values_list("pk", flat=True))


def of_order(order: Order) -> DueInstallment | None:
    part = next_to_pay(order)
    return DueInstallment(part) if part else None


EMAIL = Email(
    kind="installment_reminder",
    title=_("Payment reminder"),
    when="daily job, `REMINDER_DAYS` before an installment is due",
    choice=Choice(
        "Payment reminders",
        "A few days before an installment is due. We charge it on that day with or without a reminder.",
    ),
    group="service",
    of_order=of_order,
    recipients=its_recipients,
    family=attrgetter("installment.order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"installment:{fact.pk}:{fact.installment.due_on}",
    happened_at=first_reminder_at,
    accent="orange",
    is_copy_harmless=True,
    expires=expires,
    still_true=is_still_upcoming,
    samples={
        "minimal": installment(**BARE, will_charge=False),
        "typical": installment(status="scheduled", will_charge=True),
        "huge": installment(**HUGE, will_charge=True),
        "hostile": installment(**HOSTILE_FAMILY, will_charge=True),
        "no_good_card": installment(will_charge=False),
    },
)
