"""All kinds of email by name: what the modules of `notifications/emails/` declare."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from notifications import emails
from notifications.kinds import TITLES
from notifications.spec import Email


def _declared() -> Iterator[Email]:
    for module in pkgutil.iter_modules(emails.__path__):
        email: Email = import_module(f"{emails.__name__}.{module.name}").EMAIL
        assert email.kind == module.name, f"{module.name}.py declares {email.kind}"
        yield email


EMAILS: dict[str, Email] = {email.kind: email for email in _declared()}
TITLES.update({kind: email.title for kind, email in EMAILS.items()})

SENSITIVE = [kind for kind, email in EMAILS.items() if email.is_sensitive]
# They go to the address that they tell of, which may be a former one.
FIXED_ADDRESS = ["account_notice", "guardian_invitation"]
