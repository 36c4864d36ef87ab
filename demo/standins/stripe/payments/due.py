"""What happens automatically once the stand-in's clock reaches its time."""

from demo.standins.stripe.objects.state import State
from demo.standins.stripe.payments import checkout, refunds


def process(state: State) -> None:
    checkout.expire_due(state)
    refunds.turn_due(state)
