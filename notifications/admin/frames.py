"""An email's HTML on a staff page, in a frame in which nothing runs and nothing is loaded."""

import re
from typing import Literal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from notifications.by_staff.redact_links import redacted

# Placed before the email's own content, so that nothing in it can run, load or be followed from a script.
PREVIEW_HEAD = (
    "<!doctype html><meta http-equiv='Content-Security-Policy' "
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
Colours = Literal["light", "dark"]
_ASKS_FOR_DARK = re.compile(r"@media\s*\(\s*prefers-color-scheme\s*:\s*dark\s*\)")
_ANSWERS = {"light": "@media not all", "dark": "@media all"}


def frame(html: str, *, colours: Colours = "light", width_px: int | None = None) -> SafeString:
    """As a mail program shows it in these colors, whatever the browser prefers, as wide as the page or this
    many pixels."""
    shown = _ASKS_FOR_DARK.sub(_ANSWERS[colours], redacted(html))
    shown = shown.replace('content="light dark"', f'content="{colours}"')
    shown = shown.replace("color-scheme: light dark", f"color-scheme: {colours}")
    return format_html(
        '<iframe sandbox title="The email" srcdoc="{}" '
        'style="width: {}; height: 42rem; background: {}"></iframe>',
        PREVIEW_HEAD + shown,
        f"{width_px}px" if width_px else "100%",
        "#121212" if colours == "dark" else "#fff",
    )
