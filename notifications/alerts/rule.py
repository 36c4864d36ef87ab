from dataclasses import dataclass

from notifications.models import Alert


@dataclass(frozen=True)
class Symptom:
    """Something that is wrong right now. Words and counts only: no names, no addresses."""

    name: str
    level: Alert.Level
    text: str
    todo: str = ""
    about: str = ""
    """Which one, where there are several: each has an alert of its own."""
