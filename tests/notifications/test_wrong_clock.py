"""A worker whose clock is wrong does all its work, and does the same as one whose clock is right."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.models import Schedule
from django_q.signing import SignedPackage

from billing.models import ChargeAttempt, ChargeKind, Installment
from billing.tasks import sweep_waitlist
from csf import clock
from csf.clock import Now
from csf.jobs.broker import Queue
from csf.jobs.schedules import queue_due_jobs, sync_schedules
from csf.models import JobRun
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from notifications.sending.drain import TOO_LATE
from notifications.tasks import drain
from orders.models import Order
from tests.factories import create_order
from tests.shop import Shop, accept, order_with_plan
from tests.waitlist import family, free, full_class, join

pytestmark = [pytest.mark.django_db, pytest.mark.clocks_differ]

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


TODAY = {"hold": "held", "offer": "offered", "too late": 0, "charges": 0, "reminders": 0}
TOMORROW = {"hold": "released", "offer": "lapsed", "too late": 0, "charges": 2, "reminders": 1}


class Waiting:
    """A seat that is held and one that is offered; none of the emails was sent yet."""

    def __init__(self):
        self.today, self.order, household = clock.today(), create_order(), family()
        course = full_class()
        self.place = join(household, course)
        free(course)
        sweep_waitlist()
        assert self.look() == TODAY

    def owe(self, shop):
        """Two parts that are to be charged tomorrow, and one whose reminder is due tomorrow."""
        self._part_due(shop, "Soon", in_days=1)
        self._part_due(shop, "Later", in_days=4)
        again = self._part_due(shop, "Again", in_days=-1)
        again.start_charging()
        again.wait_until(self.today + DAY, reason="declined")

    def _part_due(self, shop, name, *, in_days):
        part = order_with_plan(shop, household=family(name))
        Installment.objects.filter(pk=part.pk).update(due_on=self.today + in_days * DAY)
        return part

    def end(self):
        """A minute ago the time was over for both seats."""
        a_minute_ago = Now() - timedelta(minutes=1)
        Order.objects.filter(pk=self.order.pk).update(held_until=a_minute_ago)
        Enrollment.objects.filter(expires_at__isnull=False).update(expires_at=a_minute_ago)

    def look(self):
        reminders = EmailMessage.objects.filter(kind="installment_reminder")
        return {
            "hold": Enrollment.objects.get(order_item__order=self.order).status,
            "offer": Enrollment.objects.get(pk=self.place.pk).status,
            "too late": EmailMessage.objects.filter(status="expired", error=TOO_LATE).count(),
            "charges": ChargeAttempt.objects.filter(kind=ChargeKind.AUTO).count(),
            "reminders": reminders.filter(context__due_on=str(self.today + 4 * DAY)).count(),
        }


def work():
    """Each job that has its time, and each task that follows; what is to be charged is only counted."""
    sync_schedules()
    Schedule.objects.update(next_run=Now() - timedelta(seconds=1))
    queue_due_jobs("csf")
    broker = Queue("csf")
    while rows := broker.dequeue():
        for pk, payload in rows:
            task = SignedPackage.loads(payload)
            if task["func"] != "billing.tasks.charge":  # in threads, which do not see this transaction
                import_string(task["func"])(*task["args"])
            broker.acknowledge(pk)
    drain()  # what was owed after the last one


def unsent():
    """Some emails wait on purpose, for what else comes to be told."""
    return EmailMessage.objects.due().count()


def test_a_day_ahead_nothing_ends_and_nothing_is_charged_or_told_early(shop, mail_server, monkeypatch):
    waiting = Waiting()
    waiting.owe(shop)
    with time_machine.travel(timezone.now() + DAY):
        work()
        assert (waiting.look(), unsent()) == (TODAY, 0)
        assert set(JobRun.objects.values_list("on", flat=True)) == {waiting.today}

        monkeypatch.setattr(clock, "now", timezone.now)  # and now it is tomorrow
        work()
        assert (waiting.look(), unsent()) == (TOMORROW, 0)


def test_by_its_own_clock_it_would_end_charge_and_tell_a_day_early(shop, mail_server, monkeypatch):
    waiting = Waiting()
    waiting.owe(shop)
    monkeypatch.setattr(clock, "now", timezone.now)
    with time_machine.travel(timezone.now() + DAY):
        work()

    found = waiting.look()
    assert found.pop("too late") > 0
    assert found.items() <= TOMORROW.items()


BY = pytest.mark.parametrize("by_its_own", [False, True], ids=["by the database's clock", "by its own"])


@BY
def test_an_hour_behind_nothing_is_late(mail_server, monkeypatch, by_its_own):
    waiting = Waiting()
    waiting.end()
    if by_its_own:
        monkeypatch.setattr(clock, "now", timezone.now)
    with time_machine.travel(timezone.now() - HOUR):
        work()

    over = {"hold": "released", "offer": "lapsed"}
    assert (waiting.look(), unsent()) == (TODAY if by_its_own else TODAY | over, 0)
    assert JobRun.objects.exists() != by_its_own
