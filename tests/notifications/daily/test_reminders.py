"""Emails about installments before they are due, and about cards that expire."""

import datetime
from datetime import UTC, date, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.ledger.signed_links import installment_of
from billing.models import Card, Installment
from csf.dates import local_date, start_of_day
from csf.jobs import daily
from csf.models import JobRun
from enrollments.models import User
from notifications.daily.overdue import process_overdue_installments
from notifications.daily.reminders import send_card_notices, send_installment_reminders
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from orders.models import Order, OrderItem
from tests.notifications.due_installments import DAY, DUE, create_part, create_parts, mails


def reminded_on(*days):
    """How many reminders are owed after the job of each of these days."""
    counts = []
    for day in days:
        send_installment_reminders(on=day)
        counts.append(mails("installment_reminder").count())
    return counts


# --- Reminders ----------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_reminder_goes_once_three_days_ahead_and_says_all():
    part = create_part()
    user = part.order.household.guardians.get()

    days = [DUE - 4 * DAY, DUE - 3 * DAY, DUE - 3 * DAY, DUE - 2 * DAY, DUE - DAY, DUE, DUE + DAY]
    assert reminded_on(*days) == [0, 1, 1, 1, 1, 1, 1]

    mail = mails("installment_reminder").get()
    item = OrderItem.objects.get(order=part.order)
    assert mail.dedupe_key == f"installment_reminder:installment:{part.pk}:{DUE}:{user.pk}"
    assert (mail.to, mail.fact_id, mail.expires_at) == (user.email, part.pk, start_of_day(DUE))
    facts = {name: mail.context[name] for name in mail.context if name not in {"pay_path", "card_path"}}
    assert facts == {
        "first_name": "Pat",
        "order_number": part.order.number,
        "order_path": part.order.get_absolute_url(),
        "number": 2,
        "of": 3,
        "due_on": DUE.isoformat(),
        "amount_cents": 5_000,
        "status": "scheduled",
        "left_cents": 9_000,
        "places": [{"child": str(item.child), "course": item.course.title}],
        "card_brand": "visa",
        "card_last4": "4242",
        "will_charge": True,
    }
    assert installment_of(mail.context["pay_path"].split("/")[2]) == part
    assert mail.context["card_path"] == "/account/card/"


@pytest.mark.django_db
@pytest.mark.parametrize(("first_run", "owed"), [(2, 1), (1, 1), (0, 0), (-1, 0)])
def test_missed_days_are_made_up_until_the_day_before(first_run, owed):
    create_part()

    assert reminded_on(DUE - first_run * DAY) == [owed]


@pytest.mark.django_db
def test_a_moved_due_date_is_reminded_of_again():
    part = create_part()
    send_installment_reminders(on=DUE - 3 * DAY)
    Installment.objects.filter(pk=part.pk).update(due_on=DUE + 10 * DAY)

    assert reminded_on(DUE - 2 * DAY, DUE + 7 * DAY, DUE + 8 * DAY) == [1, 2, 2]


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["held", "paused", "paid", "cancelled", "retry", "order cancelled", "first"])
def test_who_is_not_reminded(what):
    part = create_part()
    rows, orders = Installment.objects.filter(pk=part.pk), Order.objects.filter(pk=part.order_id)
    now = timezone.now()
    match what:
        case "held":
            rows.update(held_at=now)
        case "paused":
            orders.update(charges_paused_at=now)
        case "retry":
            rows.update(status="retry_wait", next_try_on=DUE)
        case "order cancelled":
            orders.update(status="cancelled")
        case "first":
            part.order.installments.update(due_on=DUE)
            part.order.installments.filter(number=1).update(status="scheduled")
            rows.update(status="paid")
            part.order.installments.filter(number=3).update(status="paid")
        case status:
            rows.update(status=status)

    assert reminded_on(DUE - 2 * DAY) == [0]


@pytest.mark.django_db
def test_a_card_that_cannot_pay_is_said():
    part = create_part(card=False)
    send_installment_reminders(on=DUE - 3 * DAY)

    assert mails("installment_reminder").get().context["will_charge"] is False
    assert part.order.household.cards.count() == 0


@pytest.mark.django_db
def test_a_family_without_guardian_is_named_and_stops_nobody():
    lonely, part = create_part(), create_part()
    User.objects.filter(household=lonely.order.household).update(household=None)

    report = send_installment_reminders(on=DUE - 3 * DAY)

    assert report.as_json() == {
        "done": 1,
        "failed": 0,
        "skipped": [{"subject": str(lonely), "reason": "the family has no address to write to"}],
    }
    assert mails("installment_reminder").get().fact_id == part.pk


@pytest.mark.django_db
def test_a_dry_run_writes_nothing_and_counts_the_same():
    for job in (send_installment_reminders, process_overdue_installments, send_card_notices):
        for _ in range(2):
            part = create_part()
            Card.objects.update(exp_month=1, exp_year=2027)
        on = DUE - 3 * DAY
        if job is process_overdue_installments:
            Installment.objects.filter(pk=part.pk).update(status="needs_card")
            on = DUE + 3 * DAY

        dry = job(on=on, dry_run=True)
        assert EmailMessage.objects.count() == 0
        real = job(on=on)

        assert real.done > 0
        assert (dry.done, dry.reasons) == (real.done, real.reasons)
        assert job(on=on, dry_run=True).done == 0
        EmailMessage.objects.all().delete()


@pytest.mark.django_db
@pytest.mark.parametrize("job", [send_installment_reminders, send_card_notices, process_overdue_installments])
def test_a_thousand_cost_as_many_statements_as_two_hundred(job):
    is_overdue = job is process_overdue_installments
    day = DUE + 3 * DAY if is_overdue else DUE - 3 * DAY
    statements = []
    for count in (200, 1000):
        Installment.objects.filter(number=2).update(status="paid")
        create_parts(count)
        if is_overdue:
            Installment.objects.filter(number=2, status="scheduled").update(status="needs_card")

        with CaptureQueriesContext(connection) as queries:
            assert job(on=day).done == count
        statements.append(len(queries))

    assert EmailMessage.objects.count() == 1200
    assert max(statements) <= 12
    # A full chunk is followed by a look for the next one.
    assert statements[1] - statements[0] <= 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "instant", "day"),
    [
        ("America/New_York", datetime.datetime(2027, 3, 14, 4, 30, tzinfo=UTC), date(2027, 3, 13)),
        ("America/New_York", datetime.datetime(2027, 11, 8, 4, 30, tzinfo=UTC), date(2027, 11, 7)),
        ("Pacific/Auckland", datetime.datetime(2027, 2, 28, 11, 30, tzinfo=UTC), date(2027, 3, 1)),
        ("Pacific/Auckland", datetime.datetime(2027, 9, 25, 13, 30, tzinfo=UTC), date(2027, 9, 26)),
    ],
)
def test_days_are_those_of_the_school(settings, monkeypatch, zone, instant, day):
    settings.SCHOOL_TIME_ZONE = zone
    monkeypatch.setattr(timezone, "now", lambda: instant)
    part = create_part_at(due_on=day + 3 * DAY)
    create_part_at(due_on=day + 4 * DAY)
    create_part_at(due_on=day)

    daily.send_installment_reminders()

    mail = mails("installment_reminder").get()
    assert (mail.fact_id, JobRun.objects.get().on) == (part.pk, day)
    assert local_date(mail.expires_at) == part.due_on
    assert local_date(mail.expires_at - timedelta(seconds=1)) == part.due_on - DAY


def create_part_at(*, due_on):
    """In bulk: nothing about it depends on the clock."""
    create_parts(1)
    part = Installment.objects.filter(number=2).latest("pk")
    Installment.objects.filter(pk=part.pk).update(due_on=due_on)
    part.refresh_from_db()
    return part


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("due_on", "day"),
    [
        (date(2027, 3, 1), date(2027, 2, 26)),
        (date(2028, 3, 1), date(2028, 2, 27)),
        (date(2027, 1, 1), date(2026, 12, 29)),
        (date(2027, 10, 31), date(2027, 10, 28)),
    ],
)
def test_month_ends(due_on, day):
    create_part(due_on=due_on)

    assert reminded_on(day - DAY, day) == [0, 1]


@pytest.mark.django_db
@pytest.mark.parametrize("status", ["paid", "cancelled", "charging"])
def test_a_queued_reminder_is_not_sent_when_it_is_no_longer_true(mail_server, status):
    settled, upcoming = create_part(), create_part()
    EmailMessage.objects.all().delete()
    due_on = local_date(timezone.now()) + 2 * DAY
    Installment.objects.filter(number=2).update(due_on=due_on)
    send_installment_reminders(on=due_on - 2 * DAY)
    Installment.objects.filter(pk=settled.pk).update(status=status)

    drain()

    assert dict(mails("installment_reminder").values_list("fact_id", "status")) == {
        settled.pk: "expired",
        upcoming.pk: "sent",
    }


@pytest.mark.django_db
def test_the_command_runs_once_a_day(capsys, settings):
    due_on = local_date(timezone.now()) + 3 * DAY
    part = create_part(due_on=due_on)
    day = (due_on - 3 * DAY).isoformat()

    call_command("run_job", "send_installment_reminders", "--date", day, "--dry-run")
    call_command("run_job", "send_installment_reminders", "--date", day)
    call_command("run_job", "send_installment_reminders", "--date", day)
    call_command("run_job", "process_overdue_installments", "--date", day)
    call_command("run_job", "send_card_notices", "--date", day)

    assert capsys.readouterr().out.splitlines() == [
        f"  do {part}: $50.00",
        "would do: done=1 skipped=0 failed=0",
        f"send_installment_reminders {day}: done=1 skipped=0 failed=0",
        f"send_installment_reminders {day}: already done, nothing to do",
        f"process_overdue_installments {day}: done=0 skipped=0 failed=0",
        f"send_card_notices {day}: done=0 skipped=0 failed=0",
    ]


# --- Cards that expire --------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_card_that_ends_too_early_is_told_of_twice():
    part = create_part()
    Card.objects.update(exp_month=2, exp_year=2027)
    counts = []
    for days in (31, 30, 29, 8, 7, 6, 0):
        send_card_notices(on=DUE - days * DAY)
        counts.append(mails("card_expiring").count())

    assert counts == [0, 1, 1, 1, 2, 2, 2]
    card, user = Card.objects.get(), part.order.household.guardians.get()
    assert set(EmailMessage.objects.values_list("dedupe_key", flat=True)) == {
        f"card_expiring:card:{card.pk}:{DUE}:{days}:{user.pk}" for days in (30, 7)
    }
    context = EmailMessage.objects.latest("pk").context
    assert context["expires"] == "02/2027"
    assert [row["due_on"] for row in context["missed"]] == ["2027-03-20", "2027-06-18"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "card",
    [
        {"exp_month": 3},  # good to the end of its month
        {"exp_month": 2, "replaced_at": timezone.now()},
        {"exp_month": 2, "refused_at": timezone.now()},
        {"exp_month": None, "exp_year": None},
    ],
)
def test_which_cards_are_not_told_of(card):
    create_part()
    Card.objects.update(**{"exp_year": 2027} | card)

    assert send_card_notices(on=DUE - 7 * DAY).done == 0
