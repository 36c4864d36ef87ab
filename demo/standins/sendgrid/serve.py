"""Runs a stand-in on a thread of its own, for tests and benchmarks."""

import asyncio
import http.client
import json
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from aiohttp import web

from demo.standins.sendgrid.app import create_app
from demo.standins.sendgrid.books import Received
from demo.standins.sendgrid.standin import STANDIN


class MailServer:
    """`with MailServer() as mail: ...`. Port 0 picks a free one; the rest is as in `create_app`."""

    def __init__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        fresh: bool = False,
        api_key: str | None = None,
        event_url: str | None = None,
        private_key_pem: str | None = None,
        check: bool = True,
    ) -> None:
        self.port = port
        self._app = create_app(
            data_dir=data_dir,
            fresh=fresh,
            api_key=api_key,
            event_url=event_url,
            private_key_pem=private_key_pem,
            check=check,
        )
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="sendgrid", daemon=True)

    def start(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=1)
        try:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port, backlog=1024).start()
            self.port = runner.addresses[0][1]
        except Exception as failure:
            self._failure = failure
        self._started.set()
        if not self._failure:
            await self._stop.wait()
        await runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        """For anymail's SENDGRID_API_URL."""
        return f"{self.url}/v3/"

    @property
    def public_key(self) -> str:
        """For anymail's SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY."""
        return str(self._call("GET", "/_control")["public_key"])

    def received_since(self, number: int) -> list[Received]:
        """What came after the first so many requests. Read-only: only the server's own thread may change
        it."""
        return self._app[STANDIN].books.requests[number:]

    def control(self, **switches: Any) -> dict[str, Any]:
        """Set switches; returns all of them."""
        return dict(self._call("POST", "/_control", switches)["switches"])

    def reset(self) -> None:
        self._call("POST", "/_reset", {})

    def books(self) -> dict[str, list[dict[str, Any]]]:
        return dict(self._call("GET", "/_books"))

    def requests(self) -> list[dict[str, Any]]:
        return self.books()["requests"]

    def events(self) -> list[dict[str, Any]]:
        return self.books()["events"]

    def messages(self, *, to: str = "", kind: str = "") -> list[dict[str, Any]]:
        """Accepted mails, newest first."""
        return list(self._call("GET", "/_messages?" + urlencode({"to": to, "kind": kind})))

    def wait_for_events(self, timeout: float = 120) -> None:
        """Return once the webhook has accepted every planned event, or raise TimeoutError."""
        until = time.monotonic() + timeout
        while any(event["delivery"] == "pending" for event in self.events()):
            if time.monotonic() > until:
                raise TimeoutError("events are still pending")
            time.sleep(0.02)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(said["error"])
        return said
