"""What happens by itself when the stand-in's clock has come so far."""

from demo.standins.stripe.objects.state import State
from demo.standins.stripe.payments import checkout, refunds


def work_off(state: State) -> None:
    checkout.expire_due(state)
    refunds.turn_due(state)
