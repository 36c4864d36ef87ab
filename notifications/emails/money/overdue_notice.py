"""An installment was due some days ago, and nothing happens any more unless the family acts."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from csf import clock
from csf.jobs.schedules import daily_run_at
from notifications.facts.due import OverdueInstallment, next_to_pay, waiting_for_parent
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import BARE, HOSTILE_FAMILY, HUGE, installment
from notifications.facts.snapshots import card_facts, installment_story
from notifications.spec import Email, Samples, Snapshot, after
from orders.models import Order

NO_STAGE = 0


def snapshot(fact: OverdueInstallment) -> Snapshot:
    story = installment_story(fact.installment) | card_facts(None)  # there is none that could be charged
    return story | {"days": fact.days, "waits_for": fact.installment.status}


def key(fact: OverdueInstallment) -> str:
    # With the date: one that staff have moved may be missed again.
    return f"installment:{fact.pk}:overdue:{fact.installment.due_on}:{fact.stage_days}"


def happened_at(fact: OverdueInstallment) -> datetime:
    return daily_run_at("process_overdue_installments", on=fact.stage_on)


def still_waiting(facts: Iterable[int]) -> set[int]:
    return set(waiting_for_parent().filter(pk__in=facts).values_list("pk", flat=True))


def of_order(order: Order) -> OverdueInstallment | None:
    """The next one to be paid, as if it were overdue for at least a day."""
    part = next_to_pay(order)
    if part is None:
        return None
    on = max(clock.today(), part.due_on + timedelta(days=1))
    return OverdueInstallment(part, on=on, stage_days=NO_STAGE)


def _overdue(**changes: Any) -> Snapshot:
    return installment(**changes) | {"card_brand": "", "card_last4": ""}


SAMPLES: Samples = {
    "minimal": _overdue(**BARE, days=3, waits_for="exhausted"),
    "typical": _overdue(days=7, waits_for="needs_card"),
    "huge": _overdue(**HUGE, days=14, waits_for="needs_auth"),
    "hostile": _overdue(**HOSTILE_FAMILY, days=3, waits_for="needs_card"),
    "bank": _overdue(days=7, waits_for="needs_auth"),
    "staff": _overdue(days=14, waits_for="exhausted"),
}

EMAIL = Email(
    kind="overdue_notice",
    title=_("Payment overdue"),
    when="daily job, `DUNNING_DAYS` after it was due, if the family has to act",
    topic="money",
    of_order=of_order,
    recipients=its_recipients,
    family=attrgetter("installment.order.household_id"),
    snapshot=snapshot,
    key=key,
    happened_at=happened_at,
    accent="red",
    is_copy_harmless=True,
    expires=after(timedelta(days=3)),
    still_true=still_waiting,
    samples=SAMPLES,
)
