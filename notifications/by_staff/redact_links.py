"""Staff see a family's emails, but cannot act as the family: the tokens in its links are shown as
dots."""

import re
from typing import Any

DOTS = "•••••"
# What `django.core.signing` makes: a value, the time if it has one, and 43 letters of signature.
_TOKEN = re.compile(r"[\w.=-]+(?:(?::|%3A)[0-9A-Za-z]{6})?(?::|%3A)[\w-]{43}(?![\w-])")


def redacted(text: str) -> str:
    return _TOKEN.sub(DOTS, text)


def redacted_facts(value: Any) -> Any:
    """The same in each text of a snapshot."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: redacted_facts(part) for key, part in value.items()}
    return [redacted_facts(part) for part in value] if isinstance(value, list) else value
