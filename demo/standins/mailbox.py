"""The emails that arrived at the SendGrid stand-in, as its mailbox lists them."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import requests

Email = dict[str, Any]
PATIENCE_S = 180  # a lost wake-up call costs a minute, a busy machine some more


def emails_to(mail: str, address: str) -> list[Email]:
    """The oldest first."""
    answer = requests.get(f"{mail}/_messages", {"to": address}, timeout=10)
    answer.raise_for_status()
    return sorted(answer.json(), key=lambda email: email["received_at"])


def await_emails(mail: str, wanted: dict[str, Counter[str]], *, patience_s: float, quiet_s: float) -> None:
    """Wait until each address has its kinds of email, then long enough to notice a second copy."""
    wait_for(
        lambda: all(
            not kinds - Counter(email["kind"] for email in emails_to(mail, address))
            for address, kinds in wanted.items()
        ),
        patience_s=patience_s,
    )
    time.sleep(quiet_s)


def await_email(mail: str, address: str, kind: str) -> Email:
    """Wait for the latest email of this kind."""
    found = wait_for(
        lambda: [email for email in emails_to(mail, address) if email["kind"] == kind],
        patience_s=PATIENCE_S,
    )
    assert found, f"no {kind} arrived at {address} within {PATIENCE_S} s"
    email: Email = found[-1]
    return email


def wait_for(look: Callable[[], Any], *, patience_s: float = PATIENCE_S) -> Any:
    """Return what `look` returns once it is true, or its last answer after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
