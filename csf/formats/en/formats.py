"""Dates and times of the admin as the parents' pages show them; a moment breaks only between day and time."""

NO_BREAK = "\u00a0"

DATE_FORMAT = f"M{NO_BREAK}j,{NO_BREAK}Y"
TIME_FORMAT = f"g:i{NO_BREAK}A"
DATETIME_FORMAT = f"{DATE_FORMAT}, {TIME_FORMAT}"
TIME_INPUT_FORMATS = ["%H:%M", "%H:%M:%S"]
