"""What staff do with emails: actions on one, messages to families, and why one was not sent."""
