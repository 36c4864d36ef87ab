"""What the journey looks up at the stand-ins: the emails that arrived, and the charges that were made."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

Email = dict[str, Any]


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - loopback
        return json.load(answer)


def emails_to(mail: str, address: str) -> list[Email]:
    found: list[Email] = fetch(f"{mail}/_messages?to={quote(address)}")
    return found


def await_email(mail: str, address: str, kind: str, *, patience_s: float = 30) -> Email:
    found = _await(
        lambda: [email for email in emails_to(mail, address) if email["kind"] == kind], patience_s=patience_s
    )
    assert found, f"no {kind} came to {address} within {patience_s:.0f} s"
    email: Email = found[0]
    return email


def await_emails(mail: str, wanted: dict[str, Counter[str]], *, patience_s: float, quiet_s: float) -> None:
    """Wait until each address has its kinds of email, and then so long that a second copy would be
    noticed."""
    _await(
        lambda: all(
            not kinds - Counter(email["kind"] for email in emails_to(mail, address))
            for address, kinds in wanted.items()
        ),
        patience_s=patience_s,
    )
    time.sleep(quiet_s)


def charges_of(stripe: str) -> list[dict[str, Any]]:
    """Those that succeeded."""
    return [charge for charge in fetch(f"{stripe}/_books")["charges"] if charge["succeeded"]]


def _await(look: Callable[[], Any], *, patience_s: float) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
