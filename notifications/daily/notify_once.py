"""What the daily jobs that write emails share."""

from collections.abc import Callable, Iterable
from typing import Any

from csf.jobs.report import Report
from notifications.outbox import ask_staff_to_call, notify, unsent
from notifications.registry import EMAILS


def notify_once(
    kind: str,
    facts: Iterable[Any],
    report: Report,
    *,
    why_not: Callable[[Any], str] = lambda fact: "",
    dry_run: bool,
) -> None:
    """Queue the email about facts that have none yet, and count them; a dry run only lists them.

    A fact has a `pk`, a `row` (see `csf.jobs.report`) and a text (`str`); `ClassStart` is a short
    one. `why_not` says why it needs no email, or nothing.
    """
    ready = []
    for fact in facts:
        reason = why_not(fact)
        if not reason and not EMAILS[kind].recipients(fact):
            reason = "the family has no address to write to"
            if not dry_run:
                ask_staff_to_call(kind, fact)
        if reason:
            report.skip(str(fact), fact.row, reason)
        else:
            ready.append(fact)
    new = unsent(kind, ready)
    if dry_run:
        for fact in new:
            report.plan(str(fact), fact.row)
        return
    report.done += len(new)
    if new:
        notify(kind, new)
