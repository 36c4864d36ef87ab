"""What opens an account, and what is new about one."""

from typing import Any

from notifications.facts.samples import HOSTILE, LONG
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _account(**facts: Any) -> dict[str, Context]:
    """Of the account kinds only the name differs."""
    names = {"minimal": "", "typical": "Maria", "huge": LONG, "hostile": HOSTILE}
    return {sample: facts | {"first_name": name} for sample, name in names.items()}


SAMPLES: dict[str, Samples] = {
    EmailKind.WELCOME: _account(children_path="/account/children/"),
}
