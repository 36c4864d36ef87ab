"""From the outbox to the provider, and the results."""
