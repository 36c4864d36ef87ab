"""What families choose about emails, and which of their members read them."""
