"""The mailbox: what a parent would see, and what was sent over the wire."""

import json
import re
from collections.abc import Iterator
from html import escape
from itertools import islice
from typing import Any

from aiohttp import web

from demo.standins.sendgrid.books import Event, Received
from demo.standins.sendgrid.message import calendar, opened
from demo.standins.sendgrid.page import badge, clock, link, page, spoken, state
from demo.standins.sendgrid.standin import STANDIN, Standin

PAGE_SIZE = 50
WIDTHS = {"320": "320 px", "600": "600 px", "": "Full width"}
SCHEMES = {"light": "Light", "dark": "Dark"}
SCHEME_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)", re.IGNORECASE)

routes = web.RouteTableDef()


@routes.get("/")
async def messages(request: web.Request) -> web.Response:
    standin = request.app[STANDIN]
    asked = {name: request.query.get(name, "") for name in ("q", "kind", "live")}
    before = request.query.get("before", "")[:9]
    found = _found(standin, asked["q"], asked["kind"], int(before) if before.isdecimal() else None)
    shown = list(islice(found, PAGE_SIZE + 1))
    rows = "".join(_row(received, standin) for received in shown[:PAGE_SIZE])
    more = ""
    if len(shown) > PAGE_SIZE:
        older = {**asked, "before": str(shown[PAGE_SIZE - 1].id)}
        more = link("/", "Older messages", older, css="button")
    body = f"""{_bar(asked)}{_chips(standin, asked)}
<div class="card">{f'<ul class="list">{rows}</ul>' if rows else _nothing(asked)}</div>
<p class="more">{more}</p>"""
    return page("Mailbox", body, refresh=bool(asked["live"]))


def _found(standin: Standin, q: str, kind: str, before: int | None) -> Iterator[Received]:
    for received in standin.books.messages(kind=kind):
        if before is not None and received.id >= before:
            continue
        words = [received.subject, received.kind, *received.to, *map(str, received.custom_args.values())]
        if q.lower() in " ".join(words).lower():
            yield received


def _bar(asked: dict[str, str]) -> str:
    kept = "".join(
        f'<input type="hidden" name="{name}" value="{escape(asked[name])}">'
        for name in ("kind", "live")
        if asked[name]
    )
    words = "Stop refreshing" if asked["live"] else "Refresh automatically"
    live = link("/", words, {**asked, "live": "" if asked["live"] else "1"}, css="button")
    return f"""<div class="bar">
<form class="search" action="/" role="search">{kept}
<input type="search" name="q" value="{escape(asked["q"])}" aria-label="Search"
placeholder="Subject, address, id"><button>Search</button></form>
{live}
<form method="post" action="/messages/delete"><button class="danger">Delete all</button></form>
</div>"""


def _chips(standin: Standin, asked: dict[str, str]) -> str:
    kinds = sorted({received.kind for received in standin.books.messages()} - {""})
    chips = [
        link("/", spoken(kind) or "All", {**asked, "kind": kind}, css="chip", current=kind == asked["kind"])
        for kind in ["", *kinds]
    ]
    return f'<nav class="chips" aria-label="Kinds">{"".join(chips)}</nav>' if kinds else ""


def _row(received: Received, standin: Standin) -> str:
    latest = state(standin.books.events_of(received))
    return f"""<li><a href="/messages/{received.id}">
<span class="subject">{escape(received.subject)}</span><span class="when">{clock(received.received_at)}</span>
<span class="to">to {escape(", ".join(received.to))}</span>
<span class="badges">{badge(received.kind)}{latest}</span>
</a></li>"""


def _nothing(asked: dict[str, str]) -> str:
    if asked["q"] or asked["kind"]:
        return '<p class="empty">No messages match.</p>'
    return '<p class="empty">No messages yet. They appear here as they arrive.</p>'


@routes.post("/messages/delete")
async def delete_messages(request: web.Request) -> web.Response:
    request.app[STANDIN].books.delete_messages()
    raise web.HTTPSeeOther("/")


@routes.get(r"/messages/{number:\d{1,9}}")
async def message(request: web.Request) -> web.Response:
    books = request.app[STANDIN].books
    received = books.message(int(request.match_info["number"]))
    if received is None:
        return page("Not found", '<p class="card empty">There is no such message.</p>', status=404)
    mail, events = opened(received), books.events_of(received)
    tabs = _tabs(mail, received.body, events, request)
    wanted = request.query.get("tab", "")
    tab = wanted if wanted in tabs else next(iter(tabs))
    path = f"/messages/{received.id}"
    names = "".join(link(path, name, {"tab": name}, current=name == tab) for name in tabs)
    body = f"""<div class="bar"><a class="button" href="/">All messages</a></div>
<article class="card">{_top(mail, events)}
<nav class="tabs" aria-label="Views">{names}</nav>
{tabs[tab]}</article>"""
    return page(received.subject, body)


def _tabs(mail: dict[str, Any], body: bytes, events: list[Event], request: web.Request) -> dict[str, str]:
    """The views of this mail, by name, as HTML."""
    arguments = [(f"custom_args.{name}", value) for name, value in mail["custom_args"].items()]
    history = [(clock(event.due_at), f"{event.payload['event']} ({event.delivery})") for event in events]
    views = {
        "HTML": _preview(mail, request) if mail["html"] else "",
        "Text": _pre(mail["text"]),
        "ICS": _pre(calendar(mail)),
        "Headers": _table([*mail["headers"].items(), *arguments]),
        "Events": _table(history),
        "JSON": _pre(json.dumps(json.loads(body), indent=2, ensure_ascii=False)),
    }
    return {name: view for name, view in views.items() if view}


def _top(mail: dict[str, Any], events: list[Event]) -> str:
    sender = mail["from"]
    facts = {
        "From": f"{sender.get('name', '')} <{sender.get('email', '')}>",
        "To": ", ".join(mail["to"]),
        "Received": clock(mail["received_at"]),
        "Files": ", ".join(attachment["filename"] for attachment in mail["attachments"]),
    }
    rows = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items() if value)
    return f"""<div class="top"><h1>{escape(mail["subject"])}</h1>
<dl class="facts">{rows}<dt>Kind</dt><dd>{badge(mail["kind"])} {state(events)}</dd></dl></div>"""


def _preview(mail: dict[str, Any], request: web.Request) -> str:
    width = request.query.get("width", "")
    scheme = request.query.get("scheme", "light")
    width, scheme = width if width in WIDTHS else "", scheme if scheme in SCHEMES else "light"
    path = f"/messages/{mail['id']}"
    widths = [
        link(path, words, {"width": value, "scheme": scheme}, css="chip", current=value == width)
        for value, words in WIDTHS.items()
    ]
    schemes = [
        link(path, words, {"width": width, "scheme": value}, css="chip", current=value == scheme)
        for value, words in SCHEMES.items()
    ]
    # Links in the mail open in a new tab; the frame itself can neither run scripts nor navigate.
    document = '<base target="_blank">' + in_scheme(mail["html"], scheme)
    limit = f"max-width:{width}px;" if width else ""
    return f"""<div class="tools">{"".join(widths)}<span class="gap"></span>{"".join(schemes)}</div>
<div class="stage"><iframe class="{scheme}" title="The mail as HTML" style="{limit}color-scheme:{scheme}"
sandbox="allow-popups allow-popups-to-escape-sandbox" srcdoc="{escape(document)}"></iframe></div>"""


def in_scheme(html: str, scheme: str) -> str:
    """Apply the mail's own rules for `scheme`, whatever the reader's system prefers."""
    return SCHEME_QUERY.sub(
        lambda query: "(min-width: 0)" if query[1].lower() == scheme else "(max-width: 0)", html
    )


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>" if text else ""


def _table(facts: list[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in facts)
    return f"<table>{rows}</table>" if rows else ""
