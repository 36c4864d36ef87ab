"""The table of kinds in docs/emails.md says what the registry does."""

import re
from datetime import datetime, timedelta

from django.utils import timezone

from notifications.registry import EMAILS
from tests.conftest import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (.+) \| `(.+)` \| (yes|no) \| (.+) \|$", re.MULTILINE)


class Fact:
    """Any fact: each field is its own name, so a key shows of what it is made."""

    def __init__(self, path=""):
        self.path = path

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Fact(f"{self.path}.{name}".strip("."))

    def __format__(self, spec):
        return f"<{self.path}>"

    __str__ = lambda self: f"<{self.path}>"  # noqa: E731


def life(spec):
    """A fixed life in words; None if it hangs on the fact."""
    try:
        ends_at = spec.expires(Fact())
    except (TypeError, AttributeError):
        return None
    if not isinstance(ends_at, datetime):
        return None
    hours = round((ends_at - timezone.now()) / timedelta(hours=1))
    return f"{hours} hours" if hours <= 24 else f"{hours // 24} days"


def test_the_table_says_what_the_registry_does():
    rows = {row[0]: row[2:] for row in ROW.findall((ROOT / "docs/emails.md").read_text())}
    wrong = []
    for kind, spec in EMAILS.items():
        key, copy, expires = str(spec.key(Fact())), "yes" if spec.is_copy_harmless else "no", life(spec)
        known = rows.pop(str(kind), None)
        is_right = known and known[:2] == (key, copy) and (expires is None or known[2] == expires)
        if not is_right:
            wrong.append(f"| `{kind}` | <trigger> | `{key}` | {copy} | {expires or '<when>'} |")

    assert wrong == [], "docs/emails.md needs these rows:\n" + "\n".join(wrong)
    assert rows == {}, "docs/emails.md knows kinds that are no more"
