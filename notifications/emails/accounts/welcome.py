"""A parent has an account: what to do with it."""

from datetime import timedelta

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from enrollments.models import User
from notifications.facts import account_events
from notifications.spec import Email, Snapshot, after


def snapshot(fact: User) -> Snapshot:
    return {"children_path": reverse("children")}


EMAIL = Email(
    kind="welcome",
    title=_("Welcome"),
    when="a parent who signed up confirms the address",
    topic="account",
    recipients=lambda user: [user],
    snapshot=snapshot,
    key=lambda user: f"user:{user.pk}",
    accent="blue",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    samples=account_events.samples(children_path="/account/children/"),
)
