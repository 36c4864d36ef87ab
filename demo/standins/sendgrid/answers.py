"""How a request is answered: SendGrid's statuses and words, or what happens on the socket instead."""

import asyncio
import socket
import struct
import time
from contextlib import suppress

from aiohttp import web

from demo.standins.sendgrid.behaviour import Behaviour
from demo.standins.sendgrid.check import Problem, problem
from demo.standins.sendgrid.standin import Standin

WORDS = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "access forbidden",
    413: "The total size of your email, including attachments, must be less than 30MB.",
    415: "Content-Type should be application/json.",
    429: "too many requests",
    500: "Internal server error",
    503: "Service unavailable",
}


async def answer(
    standin: Standin, request: web.Request, verdict: Behaviour, found: list[Problem], message_id: str
) -> web.StreamResponse:
    if verdict.answer == "slow":
        with suppress(TimeoutError):
            await asyncio.wait_for(standin.closing.wait(), standin.switches.slow_ms / 1000)
        return _accepted(message_id)
    if isinstance(verdict.answer, str):
        _spoil(request, verdict.answer, message_id)
        return _accepted(message_id)
    if verdict.answer == 202:
        return _accepted(message_id)
    if not verdict.json_errors:
        return _page(verdict.answer)
    if verdict.answer == 200:
        return web.json_response({})
    errors = found or [problem(verdict.words or WORDS[verdict.answer])]
    headers = _rate_headers(standin) if verdict.answer == 429 else {}
    return web.json_response({"errors": errors}, status=verdict.answer, headers=headers)


def _accepted(message_id: str) -> web.Response:
    return web.Response(status=202, headers={"X-Message-Id": message_id})


def _page(status: int) -> web.Response:
    """What proxies and captive portals answer."""
    headers = {"Location": "/"} if status == 302 else {}
    page = f"<html><body><h1>{status}</h1></body></html>"
    return web.Response(status=status, headers=headers, text=page, content_type="text/html")


def _rate_headers(standin: Standin) -> dict[str, str]:
    reset = int(time.time()) + standin.switches.rate_reset_seconds
    limit = standin.switches.rate_limit or 600
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(reset),
    }


def _spoil(request: web.Request, how: str, message_id: str) -> None:
    """End the connection without a whole answer; the handler's return value is then never sent."""
    transport = request.transport
    if transport is None:
        return
    if how == "garbage":
        transport.write(b"\x15\x03\x01 this is not HTTP\r\n\r\n")
        transport.close()
    elif how == "torn":
        head = f"HTTP/1.1 202 Accepted\r\nX-Message-Id: {message_id}\r\nContent-Length: 100\r\n\r\n"
        transport.write(head.encode() + b"torn")
        transport.close()
    else:
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
