"""What the office writes to the families of a class."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from django.utils.translation import gettext_lazy as _

from notifications.facts import family_messages
from notifications.facts.audience import still_meant
from notifications.models.messages import FamilyMessageLine
from notifications.spec import Choice, Email, after


def still_in_class(facts: Iterable[int]) -> set[int]:
    """Without the families that have left the class meanwhile; one query for each message in the batch."""
    lines = FamilyMessageLine.objects.filter(pk__in=facts).select_related("message")
    by_message = defaultdict(list)
    for line in lines:
        by_message[line.message].append(line)
    true: set[int] = set()
    for message, own in by_message.items():
        meant = still_meant(message.audience, [line.household_id for line in own])
        true |= {line.pk for line in own if line.household_id in meant}
    return true


EMAIL = Email(
    kind="class_message",
    title=_("Message from the office"),
    when=(
        "staff confirm a message to the families of classes; one email a family, "
        "whatever the number of its children"
    ),
    choice=Choice("Messages about a class", "What the office writes to the families of a class."),
    group="service",
    recipients=family_messages.recipients,
    snapshot=family_messages.snapshot,
    key=family_messages.key,
    accent="blue",
    is_copy_harmless=True,
    expires=after(timedelta(days=3)),
    still_true=still_in_class,
    samples=family_messages.samples("Robotics for Beginners", "Swimming, Level 2"),
)
