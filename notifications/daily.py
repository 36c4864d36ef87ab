"""What the daily jobs that write emails share."""

from collections.abc import Iterable
from typing import Any

from csf.report import Report
from notifications.kinds import EmailKind
from notifications.outbox import notify, untold
from notifications.registry import EMAILS


def tell(kind: EmailKind, facts: Iterable[Any], report: Report, *, dry_run: bool) -> None:
    """Owe the email about those facts that were not told yet, and count them; a dry run only counts."""
    reachable = []
    for fact in facts:
        if EMAILS[kind].recipients(fact):
            reachable.append(fact)
        else:
            report.skip(str(fact), "the family has nobody to write to")
    new = untold(kind, reachable)
    report.done += len(new)
    if new and not dry_run:
        notify(kind, new)
