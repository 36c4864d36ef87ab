"""What staff do with emails: acts on one, messages to families, and why one was not sent."""
