"""Before an installment is due: the reminder, and the notice that the saved card will not live to the day."""

import datetime
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Prefetch, Q

from billing.models import Card, CardAgreement, Installment
from billing.models.cards import CARD_EXPIRED
from csf.jobs.declared import Plan, daily_job
from csf.jobs.report import Report
from notifications.daily.notify_once import notify_once
from notifications.facts.due import (
    CHUNK,
    DueInstallment,
    ExpiringCard,
    in_chunks,
    scheduled,
    upcoming,
    why_staff_do_the_talking,
    with_story,
)
from notifications.facts.readers import readers

CARD_NOTICE_DAYS = (30, 7)


@daily_job(at="09:00", plan=Plan("Reminders", "to be emailed", about="billing.installment"))
def send_installment_reminders(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Remind once about each installment and due date, on the first of the REMINDER_DAYS on which a job runs.

    Never on the due day or after it: by then the charge has its own email. If the due date is moved, there is
    another reminder.
    """
    report = Report()
    soon = (on + timedelta(days=1), on + timedelta(days=max(settings.REMINDER_DAYS, default=0)))
    # The first installment is paid when the order is placed.
    rows = with_story(scheduled().filter(number__gt=1, due_on__range=soon))
    for chunk in report.in_time(in_chunks(rows)):
        facts = map(DueInstallment, chunk)
        notify_once("installment_reminder", facts, report, why_not=why_staff_do_the_talking, dry_run=dry_run)
    return report


@daily_job(at="09:00", plan=Plan("Cards that expire", "to be emailed", about="billing.installment"))
def send_card_notices(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Email 30 and 7 days ahead that a card expires before a payment is due; missed days are made up."""
    report = Report()
    until = on + timedelta(days=max(CARD_NOTICE_DAYS))
    for household_ids in report.in_time(_payers(after=on, until=until)):
        cards = _cards_that_end(household_ids, on=on, before=until)
        notify_once("card_expiring", _expiring(cards, on=on), report, dry_run=dry_run)
    return report


def _payers(*, after: datetime.date, until: datetime.date) -> Iterator[list[int]]:
    """Ids of the households who have to pay in that time, CHUNK at once."""
    due = upcoming().filter(due_on__gt=after, due_on__lte=until).order_by("order__household")
    households = due.values_list("order__household", flat=True).distinct()
    last = 0
    while ids := list(households.filter(order__household__gt=last)[:CHUNK]):
        yield ids
        last = ids[-1]


def _cards_that_end(household_ids: list[int], *, on: datetime.date, before: datetime.date) -> list[Card]:
    """Good ones that end; a card that was saved twice is one card, with all that it pays."""
    ends = Q(exp_year__lt=before.year) | Q(exp_year=before.year, exp_month__lt=before.month)
    cards = Card.objects.usable().filter(ends, household__in=household_ids).select_related("household")
    found = cards.prefetch_related(Prefetch("household__guardians", readers())).order_by("pk")
    return [card for card in found if card.why_not_charged(on) in {"", CARD_EXPIRED}]


def _expiring(cards: list[Card], *, on: datetime.date) -> Iterator[ExpiringCard]:
    agreed = CardAgreement.objects.current().filter(card__in=cards, order__isnull=False)
    pays = dict(agreed.values_list("order", "card"))
    coming = upcoming().filter(order__in=pays, consent__isnull=False, due_on__gt=on)
    same = {card.pk: (card.household_id, card.fingerprint or card.pk) for card in cards}
    by_card: defaultdict[tuple[int, str | int], list[Installment]] = defaultdict(list)
    for installment in coming.select_related("order").order_by("due_on", "pk"):
        by_card[same[pays[installment.order_id]]].append(installment)
    for card in {same[card.pk]: card for card in cards}.values():
        missed = [part for part in by_card[same[card.pk]] if card.expires_before(part.due_on)]
        days = _notice_days(missed, on=on)
        if days:
            yield ExpiringCard(card, missed, days)


def _notice_days(missed: Iterable[Installment], *, on: datetime.date) -> int:
    """Which of the notices the next missed payment is due for; 0 if it is too far away."""
    days_left = min(((part.due_on - on).days for part in missed), default=0)
    return min((days for days in CARD_NOTICE_DAYS if 0 < days_left <= days), default=0)
