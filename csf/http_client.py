"""One persistent HTTP connection that distinguishes requests that never left from those that may have
arrived.

It costs half the CPU of `requests`, and does not have to guess from exception trees. It follows no redirect
and asks no proxy.
"""

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from urllib3.util.wait import wait_for_read

# Shorter than any server's keep-alive limit: a connection that the server has just closed ends in Ambiguous.
MAX_IDLE_S = 5


class NotSent(Exception):
    """No connection: the request never left."""


class Ambiguous(Exception):
    """The request was sent and no usable answer came: the other side may have accepted it."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@lru_cache
def tls(authorities: str | None = None) -> ssl.SSLContext:
    """Trusting this file of certificates, or those of the system."""
    return ssl.create_default_context(cafile=authorities)  # loading them for each connection is expensive


class HttpClient:
    """Not thread-safe."""

    def __init__(self, *, authorities: str | None = None) -> None:
        self._authorities = authorities
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: tuple[float, float],
    ) -> Answer:
        """Raises NotSent or Ambiguous. The timeouts are for connecting and for each wait for an answer."""
        address = urlsplit(url)
        connection = self._connected(address.scheme, address.netloc, timeout_s)
        path = f"{address.path}?{address.query}" if address.query else address.path
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        except Exception as error:  # whatever it is, the request may have arrived
            self.close()
            raise Ambiguous(f"{type(error).__name__}: {error}") from error
        self._used_at = time.monotonic()
        return Answer(answer.status, answer.headers, text)

    def _connected(
        self, scheme: str, netloc: str, timeout_s: tuple[float, float]
    ) -> http.client.HTTPConnection:
        connect_s, read_s = timeout_s
        kept = self._connection
        if kept is not None and self._is_fresh(kept):
            kept.sock.settimeout(read_s)
            return kept
        self.close()
        try:
            if scheme == "https":
                fresh: http.client.HTTPConnection = http.client.HTTPSConnection(
                    netloc, timeout=connect_s, context=tls(self._authorities)
                )
            else:
                fresh = http.client.HTTPConnection(netloc, timeout=connect_s)
            fresh.auto_open = 0  # connecting inside a request would look like an error after it
            fresh.connect()
        except Exception as error:
            raise NotSent(f"{type(error).__name__}: {error}") from error
        fresh.sock.settimeout(read_s)
        self._connection = fresh
        return fresh

    def _is_fresh(self, kept: http.client.HTTPConnection) -> bool:
        """Not closed by the last answer, not idle for too long, and not closed by the server in the meantime
        (then there is an end of file to read)."""
        return (
            kept.sock is not None
            and time.monotonic() - self._used_at < MAX_IDLE_S
            and not wait_for_read(kept.sock, timeout=0)
        )

    def __del__(self) -> None:
        self.close()  # its thread has ended

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def abort(self) -> None:
        """From any thread: end a request that waits for its answer."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
