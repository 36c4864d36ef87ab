"""What staff see and do: acts on emails, messages to families, figures, the start page."""
