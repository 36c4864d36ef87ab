"""Names and other single lines, as people read and compare them."""

import re
from unicodedata import normalize

# Control characters, and marks that turn the direction of the text after them; a name needs neither.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """No line breaks, no control characters, single spaces, and each letter in the one form (NFC) in which
    names are compared."""
    return normalize("NFC", " ".join(_UNSEEN.sub("", " ".join(text.split())).split()))
