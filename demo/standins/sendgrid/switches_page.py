"""The page of fault switches."""

from dataclasses import asdict
from html import escape
from typing import Any

from aiohttp import web

from demo.standins.sendgrid.behaviour import BEHAVIOURS, SWITCHES
from demo.standins.sendgrid.page import page
from demo.standins.sendgrid.standin import STANDIN

routes = web.RouteTableDef()


@routes.get("/switches")
async def show(request: web.Request) -> web.Response:
    return _form(request)


@routes.post("/switches")
async def flip(request: web.Request) -> web.Response:
    sent = await request.post()
    try:
        request.app[STANDIN].control({name: _value(name, str(sent.get(name, ""))) for name in SWITCHES})
    except ValueError as error:
        return _form(request, str(error))
    raise web.HTTPSeeOther("/switches")


def _value(name: str, text: str) -> Any:
    """The value of a form field. Raises a ValueError that names the switch."""
    default = SWITCHES[name].default
    if isinstance(default, bool):
        return bool(text)
    if name == "next":
        return text.split()
    if default is None and not text.strip():
        return None
    try:
        if isinstance(default, float):
            return float(text)
        return text.strip() if name == "event_url" else int(text)
    except ValueError as error:
        raise ValueError(f"{name}: {text!r} is not a number") from error


def _form(request: web.Request, error: str = "") -> web.Response:
    values = asdict(request.app[STANDIN].switches)
    rows = "".join(_row(name, values[name]) for name in SWITCHES)
    complaint = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
    body = f"""<div class="bar"><h1>Fault switches</h1></div>{complaint}
<form method="post" action="/switches" class="card">{rows}
<div class="switch"><span></span><button>Set switches</button></div></form>
<p>Mail to one of these local parts always misbehaves, also with a number added (bounce+7@example.org):
{", ".join(f"<code>{name}</code>" for name in BEHAVIOURS)}.</p>"""
    return page("Fault switches", body, status=400 if error else 200)


def _row(name: str, value: Any) -> str:
    if isinstance(value, bool):
        field = f'<input type="checkbox" id="{name}" name="{name}" value="on"{" checked" if value else ""}>'
    else:
        shown = " ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)
        field = f'<input id="{name}" name="{name}" value="{escape(shown)}">'
    words = escape(SWITCHES[name].metadata["words"])
    label = f'<label for="{name}"><code>{name}</code><small>{words}</small></label>'
    return f'<div class="switch">{label}{field}</div>'
