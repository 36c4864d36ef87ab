"""The frame of the mailbox's pages. Everything that comes from a mail goes through `escape`."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import urlencode
from zlib import crc32

from aiohttp import web

from demo.standins.sendgrid.books import Event

CSS = Path(__file__).with_name("mailbox.css").read_text()
NOTICE = "SendGrid stand-in: nothing leaves this machine"
# A mail's preview is a frame without scripts inside a page without scripts and inherits this policy.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
GOOD, BAD = {"delivered"}, {"bounce", "dropped", "spamreport"}


def page(title: str, body: str, *, refresh: bool = False, status: int = 200) -> web.Response:
    """`body` is HTML, `title` is text."""
    again = '<meta http-equiv="refresh" content="3">' if refresh else ""
    document = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}<title>{escape(title)}</title>
<style>{CSS}</style>
</head>
<body>
<div class="notice">{NOTICE}</div>
<header><div><strong>Mailbox</strong><nav aria-label="Pages">
<a href="/">Messages</a><a href="/switches">Fault switches</a><a href="/_books">Books (JSON)</a>
</nav></div></header>
<main>
{body}
</main>
</body>
</html>"""
    return web.Response(text=document, content_type="text/html", headers=HEADERS, status=status)


def link(path: str, words: str, query: Mapping[str, str], *, css: str = "", current: bool = False) -> str:
    """A link; empty values are left out of the query."""
    asked = urlencode({name: value for name, value in query.items() if value})
    target = f"{path}?{asked}" if asked else path
    here = ' aria-current="page"' if current else ""
    return f'<a class="{css}" href="{escape(target)}"{here}>{escape(words)}</a>'


def clock(moment: float) -> str:
    """This machine's local time, with its zone."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%-d %b %Y, %H:%M:%S %Z")


def spoken(kind: str) -> str:
    return kind.replace("_", " ")


def badge(kind: str) -> str:
    hue = crc32(kind.encode()) % 360
    return f'<span class="badge" style="--hue:{hue}">{escape(spoken(kind))}</span>' if kind else ""


def state(events: list[Event]) -> str:
    """The last event of a mail that the webhook accepted."""
    accepted = [event.payload["event"] for event in events if event.delivery == "delivered"]
    last = str(accepted[-1]) if accepted else "events pending" if events else "accepted"
    css = "good" if last in GOOD else "bad" if last in BAD else ""
    return f'<span class="state {css}">{escape(last)}</span>'
