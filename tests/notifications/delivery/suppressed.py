"""Addresses on the suppression list, put there by a provider's event or by hand."""

from datetime import timedelta

from notifications.delivery.events import fold_events
from notifications.models import Suppression
from tests.notifications.delivery.signed_events import deliver, event

HARD = {"type": "bounce", "reason": "550 no such user"}
AT = 1_790_000_000  # of the events
SECOND = timedelta(seconds=1)


def list_of(*fields):
    return list(Suppression.objects.order_by("address", "scope").values_list(*fields or ("address", "scope")))


def report(message, name, **changes):
    assert deliver([event(message, name, **changes)]) == 200
    fold_events()


def stop(address, scope="all", **fields):
    return Suppression.objects.create(address=address, scope=scope, cause="bounced", **fields)
