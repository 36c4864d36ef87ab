"""Run the stand-in on a thread of this process, for tests and benchmarks."""

import asyncio
import json
import socket
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from demo.standins.stripe.api import BeforeRequest
from demo.standins.stripe.app import create_app
from demo.standins.stripe.objects.state import STATE, State

STOP_SECONDS = 2.0


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback interface; port 0 picks a free one."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


async def run_app(app: web.Application, sock: socket.socket, stop: asyncio.Event) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, sock).start()
        await stop.wait()
    finally:
        await runner.cleanup()


class StripeServer:
    """`with StripeServer() as stripe: ...`; `start` and `stop` where a `with` does not fit."""

    def __init__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        fresh: bool = False,
        before_request: BeforeRequest | None = None,
        real_webhook_spacing: bool = False,
    ) -> None:
        self._sock = listen(port)
        self.port: int = self._sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._app = create_app(
            data_dir=data_dir,
            fresh=fresh,
            public_url=self.url,
            before_request=before_request,
            real_webhook_spacing=real_webhook_spacing,
        )
        self._thread = threading.Thread(target=self._serve, name="stripe-stand-in", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @property
    def state(self) -> State:
        """Read-only: only the server's own thread may change it."""
        return self._app[STATE]

    def start(self) -> "StripeServer":
        self._thread.start()
        self._started.wait()
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> "StripeServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def books(self) -> dict[str, Any]:
        books: dict[str, Any] = self.control("GET", "/_books")
        return books

    def control(self, method: str, path: str, given: Any = None) -> Any:
        """Call a control route: `control("POST", "/_faults", [{"kind": "hang"}])`."""
        body = None if given is None else json.dumps(given).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own loopback address
            return json.load(answer)

    def _serve(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.call_soon(self._started.set)
        await run_app(self._app, self._sock, self._stop)
