"""What the provider reports about emails, and addresses that get none."""
