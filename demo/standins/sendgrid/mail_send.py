"""`POST /v3/mail/send`: check the key, check the body, record it and answer."""

import asyncio
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from demo.standins.sendgrid.answers import answer
from demo.standins.sendgrid.behaviour import BEHAVIOURS, Behaviour, choose
from demo.standins.sendgrid.books import Received
from demo.standins.sendgrid.check import MAX_BYTES, Problem, problems
from demo.standins.sendgrid.standin import STANDIN, Standin


@dataclass(frozen=True)
class Outline:
    """What the books note about a body, however broken it is."""

    to: list[str] = field(default_factory=list)
    subject: str = ""
    kind: str = ""
    custom_args: dict[str, str] = field(default_factory=dict)


def outline(payload: Any) -> Outline:
    try:
        first = payload["personalizations"][0]
        people = [
            person["email"]
            for personalization in payload["personalizations"]
            for kind in ("to", "cc", "bcc")
            for person in personalization.get(kind, ())
        ]
        return Outline(
            to=[str(address) for address in people],
            subject=str(payload.get("subject") or first.get("subject") or ""),
            kind=str(next(iter(payload.get("categories", ())), "")),
            custom_args={**payload.get("custom_args", {}), **first.get("custom_args", {})},
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        return Outline()


async def mail_send(request: web.Request) -> web.StreamResponse:
    standin = request.app[STANDIN]
    body, said = b"", Outline()
    payload: Any = None
    found: list[Problem] = []
    try:
        body = await request.read()
        payload = _parsed(body)
        said = outline(payload)
        verdict, found = _verdict(standin, request, body, payload, said)
    except web.HTTPRequestEntityTooLarge:
        verdict = BEHAVIOURS["status413"]
    received = _entered(standin, request, body, said, verdict)
    if verdict.accepted:
        standin.postman.plan(received, payload, standin.rng)
    if standin.switches.latency_ms:
        await asyncio.sleep(standin.switches.latency_ms / 1000)
    return await answer(standin, request, verdict, found, received.message_id)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _verdict(
    standin: Standin, request: web.Request, body: bytes, payload: Any, said: Outline
) -> tuple[Behaviour, list[Problem]]:
    if not _key_is_good(standin, request):
        return BEHAVIOURS["status401"], []
    chosen = choose(standin.switches, said.to, standin.rng)
    if not chosen.accepted:
        return chosen, []
    if _over_the_limit(standin):
        return BEHAVIOURS["status429"], []
    if request.content_type != "application/json":
        return Behaviour(answer=415, accepted=False), []
    if len(body) > MAX_BYTES:
        return BEHAVIOURS["status413"], []
    if standin.check or not said.to:
        found = problems(payload)
        if found:
            return BEHAVIOURS["status400"], found
    if _is_rehearsal(payload):
        return Behaviour(answer=200, accepted=False), []
    return chosen, []


def _key_is_good(standin: Standin, request: web.Request) -> bool:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    return key == standin.api_key if standin.api_key else key.startswith("SG.")


def _over_the_limit(standin: Standin) -> bool:
    limit, second = standin.switches.rate_limit, int(time.time())
    if second != standin.second:
        standin.second, standin.used_this_second = second, 0
    standin.used_this_second += 1
    return 0 < limit < standin.used_this_second


def _is_rehearsal(payload: dict[str, Any]) -> bool:
    """SendGrid's own sandbox mode: checked, answered with 200, sent to nobody."""
    return bool(payload.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"))


def _entered(
    standin: Standin, request: web.Request, body: bytes, said: Outline, verdict: Behaviour
) -> Received:
    received = Received(
        id=standin.books.next_request(),
        received_at=time.time(),
        connection=standin.connection(request),
        path=request.path,
        status=verdict.answer,
        accepted=verdict.accepted,
        message_id=secrets.token_urlsafe(16) if verdict.accepted else "",
        to=said.to,
        subject=said.subject,
        kind=said.kind,
        custom_args=said.custom_args,
        sha256=hashlib.sha256(body).hexdigest(),
        body=body,
    )
    standin.books.receive(received)
    return received
