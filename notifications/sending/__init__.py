"""From the outbox to the provider, and what the provider tells afterwards."""
