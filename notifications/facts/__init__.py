"""The content of each kind of email, read from the fact that it is about."""
