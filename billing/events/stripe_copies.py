"""dj-stripe's copies of Stripe's objects, which hold names and addresses. Nothing of ours refers to them, and
dj-stripe fetches one that is missing again, so they are deleted once they have not been used for a while."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast
from djstripe.models import Account, APIKey, Event, WebhookEndpoint

from billing.models import StripeEvent, StripeEventStatus

OURS = (Account, APIKey, WebhookEndpoint)  # the school's own, not a family's


def events_finished_before(until: datetime) -> QuerySet[Event]:
    """dj-stripe's rows of events that the inbox finished. The inbox itself knows each of them for good."""
    done = [StripeEventStatus.PROCESSED, StripeEventStatus.IGNORED]
    finished = StripeEvent.objects.filter(status__in=done, finished_at__lt=until)
    found: QuerySet[Event] = Event.objects.filter(id__in=finished.values("stripe_id"))
    return found


def copies_older_than(until: datetime) -> list[QuerySet[Any]]:
    """Of each kind of object, those that dj-stripe last wrote before then; events it writes only once."""
    kinds = [model for model in _kinds() if model is not Event]
    return [model._default_manager.filter(djstripe_updated__lt=until) for model in kinds]


def copies_that_name(words: Iterable[str]) -> list[QuerySet[Any]]:
    """Of each kind, events too, those whose payload holds one of these ids or addresses. Reads every row."""
    named = Q()
    for word in words:
        named |= Q(payload__contains=word)
    if not named:
        return []
    return [
        model._default_manager.alias(payload=Cast("data" if model is Event else "stripe_data", TextField()))
        .filter(named)
        .order_by("pk")
        for model in _kinds()
    ]


def delete_copies(copies: Iterable[QuerySet[Any]]) -> int:
    """The number of rows, including those that depend on them."""
    return sum(rows.delete()[0] for rows in copies)


def _kinds() -> list[Any]:
    models = apps.get_app_config("djstripe").get_models()
    return [model for model in models if hasattr(model, "stripe_data") and model not in OURS]
