"""The aiohttp application: API, pages and control routes on one port of the loopback interface."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from demo.standins.stripe import control
from demo.standins.stripe.api import Api, BeforeRequest
from demo.standins.stripe.invoices import invoices
from demo.standins.stripe.objects.state import STATE, State
from demo.standins.stripe.objects.store import Store
from demo.standins.stripe.pages import checkout_pages, invoice_pages
from demo.standins.stripe.payments import checkout, due
from demo.standins.stripe.webhooks.deliveries import DELIVERIES, Deliveries

LOOPBACK = ("127.0.0.1", "localhost")
TICK_SECONDS = 0.5
LARGEST_BODY = 1024 * 1024


def create_app(
    *,
    data_dir: Path | None,
    fresh: bool = False,
    public_url: str,
    before_request: BeforeRequest | None = None,
    real_webhook_spacing: bool = False,
) -> web.Application:
    """`data_dir=None` keeps everything in memory.

    `before_request(method, path, {"params", "idempotency_key"})` is called on a thread, before any effect.
    """
    store = Store(None if data_dir is None else data_dir / "stripe.jsonl", fresh=fresh)
    state = State(store, public_url.rstrip("/"))
    app = web.Application(middlewares=[_only_loopback], client_max_size=LARGEST_BODY)
    app[STATE] = state
    app.cleanup_ctx.append(_background)
    deliveries = Deliveries(state, real_spacing=real_webhook_spacing)
    app[DELIVERIES] = deliveries
    api = Api(state, deliveries, before_request)
    api.add_routes(app)
    app.on_shutdown.append(api.stop)
    checkout_pages.add_routes(app)
    invoice_pages.add_routes(app)
    control.add_routes(app)
    return app


@web.middleware
async def _only_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other host names (DNS rebinding) and forms on other sites."""
    origin = request.headers.get("Origin")
    if _hostname(f"//{request.host}") not in LOOPBACK:
        raise web.HTTPForbidden(text="This stand-in answers on 127.0.0.1 and localhost only.\n")
    if request.method != "GET" and origin is not None and _hostname(origin) not in LOOPBACK:
        raise web.HTTPForbidden(text="This stand-in accepts no requests from other sites.\n")
    return await handler(request)


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _background(app: web.Application) -> AsyncIterator[None]:
    state, deliveries = app[STATE], app[DELIVERIES]
    deliveries.start()
    state.event_listeners.append(deliveries.schedule)
    checkout.renew_urls(state)
    invoices.renew_urls(state)
    ticking = asyncio.create_task(_tick(state))
    yield
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    await deliveries.close()
    state.store.close()


async def _tick(state: State) -> None:
    while True:
        due.process(state)
        state.store.commit()
        await asyncio.sleep(TICK_SECONDS)
