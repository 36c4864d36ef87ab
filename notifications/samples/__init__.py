"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

from notifications.facts.samples import HOSTILE, LONG
from notifications.registry import CONVERTED
from notifications.samples import changes, orders
from notifications.spec import Samples
from notifications.spec import Snapshot as Context

SAMPLES: dict[str, Samples] = (
    orders.SAMPLES | changes.SAMPLES | {kind: email.samples for kind, email in CONVERTED.items()}
)

__all__ = ["HOSTILE", "LONG", "SAMPLES", "Context"]
