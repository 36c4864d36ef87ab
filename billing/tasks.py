from datetime import timedelta

from django.utils import timezone

from billing.expiry import expire_holds
from billing.inbox import process_event as process
from billing.models import StripeEvent
from billing.reconcile import pull_events, settle_finished_pages
from csf.jobs import enqueue


def process_event(stripe_id: str) -> None:
    for event in StripeEvent.objects.filter(stripe_id=stripe_id):
        process(event)


def sweep_holds() -> None:
    expire_holds(now=timezone.now())


def reconcile() -> None:
    """Hourly; three days back, for as long as Stripe itself repeats a webhook."""
    now = timezone.now()
    pull_events(since=now - timedelta(days=3))
    settle_finished_pages(now=now)


def sweep_events() -> None:
    """Wake a worker for each event that is due; its own task may have been lost."""
    for stripe_id in (
        StripeEvent.objects.due().order_by("next_try_at").values_list("stripe_id", flat=True)[:200]
    ):
        enqueue("billing.tasks.process_event", stripe_id)
