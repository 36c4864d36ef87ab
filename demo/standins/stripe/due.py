"""What happens by itself when the stand-in's clock has come so far."""

from demo.standins.stripe import checkout, refunds
from demo.standins.stripe.state import State


def work_off(state: State) -> None:
    checkout.expire_due(state)
    refunds.turn_due(state)
