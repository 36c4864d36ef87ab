import datetime
from datetime import timedelta

from billing.changes.cancellation import settle_waiting_cancellations
from billing.changes.class_closure import process_closures
from billing.changes.seat_release import sell_offered_seats
from billing.changes.waitlist import serve_priority
from billing.checkout.holds import expire_holds
from billing.events import stripe_books, webhook_health
from billing.events.inbox import process_due_events
from billing.events.inbox import process_event as process
from billing.events.reconcile import pull_events, settle_finished_pages
from billing.installments.charging import charge_waiting, recover_charges
from billing.ledger.refund_sending import recover_refunds, refund_waiting
from billing.models import StripeEvent
from billing.stripe.breaker import while_it_answers
from billing.stripe.objects import instant
from csf import clock
from csf.jobs.declared import EVERY_MINUTE, scheduled
from csf.jobs.queue import enqueue, enqueue_once
from csf.models import Instance
from enrollments.classes import waitlist


def process_event(stripe_id: str) -> None:
    for event in while_it_answers(StripeEvent.objects.filter(stripe_id=stripe_id)):
        process(event)


def charge() -> None:
    if charge_waiting():
        enqueue_once("billing.tasks.charge")


@scheduled(EVERY_MINUTE)
def sweep_charges() -> None:
    """Each minute: repair what lost workers left, and charge what waits, with or without a task."""
    try:
        recover_charges()
    finally:
        enqueue_once("billing.tasks.charge")


def refund() -> None:
    if refund_waiting():
        enqueue_once("billing.tasks.refund")


@scheduled(EVERY_MINUTE)
def sweep_refunds() -> None:
    """Each minute: settle cancellations that waited, and make or look up refunds that no task came for."""
    try:
        settle_waiting_cancellations()
        recover_refunds()
    finally:
        enqueue_once("billing.tasks.close_classes")
        enqueue_once("billing.tasks.refund")


def close_classes() -> None:
    if process_closures(now=clock.now()):
        enqueue_once("billing.tasks.close_classes")


@scheduled(EVERY_MINUTE)
def sweep_holds() -> None:
    expire_holds(now=clock.now())


@scheduled(EVERY_MINUTE)
def sweep_waitlist() -> None:
    """Each minute, and when an offer of the priority tier is made or its card saved."""
    now = clock.now()
    waitlist.sweep(now=now)
    serve_priority(now=now)
    sell_offered_seats(now=now)


@scheduled("7 * * * *", name="reconcile_stripe", title="Fetch Stripe's events")
def reconcile() -> None:
    """Hourly; three days back, for as long as Stripe itself repeats a webhook."""
    now = clock.now()
    enqueue("billing.tasks.pull", int((now - timedelta(days=3)).timestamp()), "")
    settle_finished_pages(now=now)


@scheduled(EVERY_MINUTE, title="Check whether Stripe responds")
def look_at_stripe() -> None:
    """Each minute: check whether Stripe answers, and whether its webhooks arrive."""
    webhook_health.look(now=clock.now())


def pull(since: int, after: str, part: int = 0) -> None:
    """`since` in seconds since 1970, `after` the event that was pulled last, of which part of the types."""
    pulled = pull_events(since=instant(since), after=after, part=part)
    if pulled.next_after:
        enqueue("billing.tasks.pull", since, pulled.next_after, pulled.part)


def compare_open() -> None:
    stripe_books.compare_open()


def compare_day(day: datetime.date) -> None:
    if not stripe_books.compare_day(day):
        enqueue("billing.tasks.compare_day", day)


@scheduled(EVERY_MINUTE)
def sweep_events() -> None:
    """Wake one worker if events are due; their own tasks may have been lost."""
    if not Instance.why_quarantined() and StripeEvent.objects.due().exists():
        enqueue_once("billing.tasks.process_events")


def process_events() -> None:
    if process_due_events():
        enqueue_once("billing.tasks.process_events")
