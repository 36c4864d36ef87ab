"""The events that we subscribe to. docs/stripe-events.md says what happens with each, and with all others."""

EVENT_TYPES = [
    "checkout.session.completed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "setup_intent.succeeded",
    "payment_method.automatically_updated",
    "payment_method.updated",
    "payment_method.detached",
    "customer.deleted",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
    "invoice.voided",
    "invoice.marked_uncollectible",
]
TYPES_AT_ONCE = 20  # as many as Stripe's list of events takes; https://docs.stripe.com/api/events/list
