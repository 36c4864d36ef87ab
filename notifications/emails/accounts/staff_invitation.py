"""The link with which a colleague chooses their first password."""

from django.utils.translation import gettext_lazy as _

from notifications.facts import account_events
from notifications.facts.recipients import its_recipients
from notifications.facts.samples import HOSTILE, LONG
from notifications.spec import AWAITED, Email, Samples, Snapshot


def samples() -> Samples:
    return {
        "minimal": _sample("", "Ada Boss", []),
        "typical": _sample("Jörg", "Ada Boss", ["Office: families, classes, registrations"]),
        "huge": _sample(LONG, LONG, [LONG] * 20),
        "hostile": _sample(HOSTILE, HOSTILE, [HOSTILE]),
    }


def _sample(first_name: str, inviter: str, rights: list[str]) -> Snapshot:
    return {
        "first_name": first_name,
        "inviter": inviter,
        "rights": rights,
        "office_path": "/admin/",
        "reset_path": "/account/password/reset/key/4f-cyq8l1-0b2d7c6f3a/",
        "minutes": 60,
    }


EMAIL = Email(
    kind="staff_invitation",
    title=_("Staff invitation"),
    when="staff send a colleague the link to their first password",
    recipients=its_recipients,
    snapshot=account_events.snapshot,
    key=lambda event: event.key,
    accent="grey",
    is_copy_harmless=False,
    expires=account_events.with_its_link,
    priority=AWAITED,
    is_sensitive=True,
    samples=samples(),
)
