"""The jobs that owe emails by the calendar."""
