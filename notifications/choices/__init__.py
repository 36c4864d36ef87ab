"""What families choose about emails, and who of a family reads them."""
