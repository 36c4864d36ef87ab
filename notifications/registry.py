"""All kinds of email by name: what the modules of `notifications/emails/` declare."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from operator import attrgetter

from notifications import emails
from notifications.kinds import TITLES
from notifications.spec import Email


def _declared() -> Iterator[Email]:
    for module in pkgutil.walk_packages(emails.__path__, f"{emails.__name__}."):
        if not module.ispkg:
            email: Email = import_module(module.name).EMAIL
            assert module.name.endswith(f".{email.kind}"), f"{module.name} declares {email.kind}"
            yield email


EMAILS = {email.kind: email for email in sorted(_declared(), key=attrgetter("kind"))}
TITLES.update({kind: email.title for kind, email in EMAILS.items()})

SENSITIVE = [kind for kind, email in EMAILS.items() if email.is_sensitive]
# Each goes to the address that it is about, which may be a former one.
FIXED_ADDRESS = ["account_notice", "guardian_invitation"]
