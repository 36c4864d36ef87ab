"""A family without any guardian who can sign in: staff are asked to call, once, until it has one again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.ledger.credits import grant
from billing.models import CreditCause, Installment
from csf.dates import local_date
from csf.models import StaffTask
from csf.staff.tasks import close_settled
from notifications.daily.reminders import send_installment_reminders
from notifications.models import EmailMessage
from notifications.registry import EMAILS
from notifications.task_kinds import EmailTask
from tests.factories import create_guardian, create_household, create_order, create_staff
from tests.notifications.mails import kinds_in

pytestmark = pytest.mark.django_db


def tasks(household):
    open_tasks = StaffTask.objects.open().about(household).filter(kind=EmailTask.NOBODY_TO_NOTIFY)
    return list(open_tasks.values_list("detail", flat=True))


def due_soon(household):
    """A part that the daily job reminds of, of an order from when the family had a guardian."""
    order = create_order(household=household)
    order.confirm(reason="paid")
    on = local_date(timezone.now())
    Installment.objects.create(order=order, number=2, due_on=on + timedelta(days=3), amount_cents=5_000)
    EmailMessage.objects.all().delete()
    household.guardians.update(is_active=False)
    return on


def test_staff_are_asked_to_call_when_money_has_nobody_to_notify():
    household, other = create_household(), create_household()
    household.guardians.update(is_active=False)
    given = {"cents": 500, "cause": CreditCause.GRANTED, "reason": "sorry", "by": create_staff()}

    for family in (household, household, other):
        grant(household=family, on=local_date(timezone.now()), **given)

    assert EmailMessage.objects.filter(kind="credit_added").count() == 1
    assert tasks(household) == [
        "Credit added: nobody got this email, because the family has no guardian who can sign in. "
        "Call the family, or add a guardian."
    ]
    assert tasks(other) == []
    create_guardian(household=household)
    assert close_settled() == 1
    assert tasks(household) == []


def test_a_daily_job_asks_as_well_and_its_dry_run_does_not():
    household = create_household()
    on = due_soon(household)

    dry = send_installment_reminders(on=on, dry_run=True)
    assert tasks(household) == []
    real = send_installment_reminders(on=on)

    assert [detail.partition(":")[0] for detail in tasks(household)] == ["Payment reminder"]
    assert dry.as_json()["skipped"] == real.as_json()["skipped"]


def test_every_email_about_money_or_a_place_knows_its_family():
    assert {kind for kind, spec in EMAILS.items() if spec.family} == kinds_in("money", "places")
