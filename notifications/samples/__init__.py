"""What each kind may have to say at worst and at best: for the tests and for looking at the mails.

Plain JSON values, like the snapshots that they stand for.
"""

from notifications.samples import accounts, changes, classes, invitations, messages, orders, waitlist
from notifications.samples.orders import HOSTILE, LONG, Context

SAMPLES = (
    orders.SAMPLES
    | classes.SAMPLES
    | changes.SAMPLES
    | waitlist.SAMPLES
    | messages.SAMPLES
    | invitations.SAMPLES
    | accounts.SAMPLES
)

__all__ = ["HOSTILE", "LONG", "SAMPLES", "Context"]
