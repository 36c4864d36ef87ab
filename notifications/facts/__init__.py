"""What each kind of email tells, read from the fact that owes it."""
