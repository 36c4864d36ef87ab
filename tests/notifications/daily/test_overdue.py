"""Notices about payments that are overdue."""

from collections import Counter

import pytest
from django.utils import timezone

from billing.models import ChargeAttempt, ChargeKind
from notifications.daily.overdue import process_overdue_installments
from notifications.models import EmailMessage
from tests.notifications.due_installments import DAY, DUE, create_part, mails


@pytest.mark.django_db
def test_overdue_notices_go_on_three_days_and_each_once():
    part = create_part(status="needs_card")
    user = part.order.household.guardians.get()
    told = Counter()
    for days in range(30):
        if process_overdue_installments(on=DUE + days * DAY).done:
            told[days] += 1

    assert told == {3: 1, 7: 1, 14: 1}
    assert set(EmailMessage.objects.values_list("dedupe_key", flat=True)) == {
        f"overdue_notice:installment:{part.pk}:overdue:{DUE}:{days}:{user.pk}" for days in (3, 7, 14)
    }
    assert sorted(mails("overdue_notice").values_list("context__days", "context__waits_for")) == [
        (3, "needs_card"),
        (7, "needs_card"),
        (14, "needs_card"),
    ]
    part.order.refresh_from_db()
    assert part.order.status == "confirmed"


@pytest.mark.django_db
@pytest.mark.parametrize(("day", "owed"), [(2, 0), (4, 1), (6, 1), (10, 1), (11, 0), (17, 1), (18, 0)])
def test_a_missed_notice_is_made_up_for_three_days(day, owed):
    create_part(status="exhausted")

    assert process_overdue_installments(on=DUE + day * DAY).done == owed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "needs_auth"}, ""),
        ({"status": "exhausted"}, ""),
        ({"status": "needs_card", "held_at": timezone.now()}, "on hold"),
        ({"status": "charging"}, "a payment is in progress"),
        ({"status": "retry_wait", "next_try_on": DUE + 5 * DAY}, "will be tried again automatically"),
        ({"status": "scheduled"}, "not tried yet: staff decide"),
    ],
)
def test_who_gets_an_overdue_notice_and_why_not(fields, reason):
    part = create_part(**fields)

    report = process_overdue_installments(on=DUE + 3 * DAY)

    assert (report.done, [(skip.subject, skip.reason) for skip in report.skipped]) == (
        (0, [(str(part), reason)]) if reason else (1, [])
    )


@pytest.mark.django_db
@pytest.mark.parametrize(("tried_on", "owed"), [(0, 1), (3, 0), (4, 0)])
def test_the_email_about_a_try_is_enough_for_its_day(tried_on, owed):
    part = create_part(status="needs_card")
    ChargeAttempt.objects.create(
        installment=part,
        number=1,
        kind=ChargeKind.AUTO,
        status="declined",
        amount_cents=part.amount_cents,
        currency="usd",
        charged_on=DUE + tried_on * DAY,
    )

    assert process_overdue_installments(on=DUE + 4 * DAY).done == owed
    assert process_overdue_installments(on=DUE + 7 * DAY).done == 1
