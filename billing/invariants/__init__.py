"""About money: what must hold between orders and their parts, charges, cards, refunds, credit and Stripe."""

from billing.invariants import cards, charges, credits, orders, refunds, stripe

INVARIANTS = [
    *orders.INVARIANTS,
    *charges.INVARIANTS,
    *cards.INVARIANTS,
    *refunds.INVARIANTS,
    *credits.INVARIANTS,
    *stripe.INVARIANTS,
]
