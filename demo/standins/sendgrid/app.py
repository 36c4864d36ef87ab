"""The application: routes, and the JSON that tests and the demo read."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from aiohttp import web

from demo.standins.sendgrid import mailbox, switches_page
from demo.standins.sendgrid.behaviour import Switches, is_loopback_url
from demo.standins.sendgrid.books import Books
from demo.standins.sendgrid.check import MAX_BYTES
from demo.standins.sendgrid.events import Postman, load_private_key, new_keypair, public_key_base64
from demo.standins.sendgrid.mail_send import mail_send
from demo.standins.sendgrid.message import opened
from demo.standins.sendgrid.standin import STANDIN, Standin

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def create_app(
    *,
    data_dir: Path | None,
    fresh: bool = False,
    api_key: str | None = None,
    event_url: str | None = None,
    private_key_pem: str | None = None,
    check: bool = True,
) -> web.Application:
    """Without `data_dir` nothing survives a restart; without `event_url` no events are sent.

    With `api_key` None any key that begins with `SG.` is accepted; with `check` False, any body that names a
    recipient.
    """
    if event_url and not is_loopback_url(event_url):
        raise ValueError("events are posted to loopback only")
    books = Books(data_dir / "sendgrid.jsonl" if data_dir else None, fresh=fresh)
    switches = Switches(event_url=event_url)
    postman = Postman(books, switches, load_private_key(private_key_pem or new_keypair()[0]))
    # A little above SendGrid's limit, so that SendGrid's message is returned and not aiohttp's.
    app = web.Application(client_max_size=MAX_BYTES + 1_000_000, middlewares=[only_from_here])
    app[STANDIN] = Standin(books, postman, switches, replace(switches), api_key, check)
    app.cleanup_ctx.append(_running_postman)
    app.on_shutdown.append(_let_go)
    app.add_routes(
        [
            web.post("/v3/mail/send", mail_send),
            web.get("/_control", read_control),
            web.post("/_control", set_control),
            web.post("/_reset", reset),
            web.get("/_books", read_books),
            web.get("/_messages", list_messages),
            web.get(r"/_messages/{number:\d{1,9}}", one_message),
            *mailbox.routes,
            *switches_page.routes,
        ]
    )
    return app


@web.middleware
async def only_from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other machines, other host names (DNS rebinding) and forms on other sites."""
    host = request.headers.get("Host", "")
    here = {"127.0.0.1", "localhost", "[::1]"}
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if host.rpartition(":")[0] not in here and host not in here:
        raise web.HTTPForbidden(text="This stand-in answers on loopback only.")
    if peer and peer[0] not in ("127.0.0.1", "::1"):
        raise web.HTTPForbidden(text="This stand-in answers to this machine only.")
    if request.headers.get("Origin", f"http://{host}") != f"http://{host}":
        raise web.HTTPForbidden(text="This stand-in accepts no requests from other sites.")
    return await handler(request)


async def _running_postman(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[STANDIN].postman.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    app[STANDIN].books.close()


async def _let_go(app: web.Application) -> None:
    """Release slow answers, which would delay the shutdown."""
    app[STANDIN].closing.set()


async def read_control(request: web.Request) -> web.Response:
    standin = request.app[STANDIN]
    key = public_key_base64(standin.postman.key)
    return web.json_response({"switches": standin.state(), "public_key": key})


async def set_control(request: web.Request) -> web.Response:
    try:
        changes = json.loads(await request.read())
        if not isinstance(changes, dict):
            raise ValueError("send an object of switches")
        request.app[STANDIN].control(changes)
    except ValueError as error:
        return web.json_response({"error": str(error)}, status=400)
    return await read_control(request)


async def reset(request: web.Request) -> web.Response:
    """Forget everything received and sent, and set every switch back."""
    request.app[STANDIN].reset()
    return web.json_response({})


async def read_books(request: web.Request) -> web.Response:
    books = request.app[STANDIN].books
    facts = {
        "requests": [received.entry() for received in books.requests],
        "events": [asdict(event) for event in books.events],
    }
    return web.json_response(facts)


async def list_messages(request: web.Request) -> web.Response:
    asked = {name: request.query.get(name, "") for name in ("to", "kind")}
    found = request.app[STANDIN].books.messages(**asked)
    return web.json_response([opened(received) for received in found])


async def one_message(request: web.Request) -> web.Response:
    received = request.app[STANDIN].books.message(int(request.match_info["number"]))
    if received is None:
        raise web.HTTPNotFound
    return web.json_response(opened(received))
