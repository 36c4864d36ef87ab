"""What the stand-in does with a mail, chosen by its address, and the switches that make it misbehave."""

import dataclasses
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any
from urllib.parse import urlsplit

Step = Mapping[str, object]

PROCESSED: Step = {"event": "processed"}
DELIVERED: Step = {"event": "delivered", "response": "250 2.0.0 OK", "ip": "127.0.0.1", "tls": 1}
DEFERRED: Step = {"event": "deferred", "response": "450 4.2.1 try again later", "attempt": "1", "tls": 1}
UNSUBSCRIBED: Step = {"event": "unsubscribe"}
SPAM_REPORT: Step = {"event": "spamreport"}
HARD_BOUNCE: Step = {
    "event": "bounce",
    "type": "bounce",
    "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
    "status": "5.1.1",
    "bounce_classification": "Invalid Address",
    "ip": "127.0.0.1",
    "tls": 1,
}
BLOCK: Step = {
    **HARD_BOUNCE,
    "type": "blocked",
    "reason": "552 5.2.2 Mailbox full.",
    "status": "5.2.2",
    "bounce_classification": "Mailbox Unavailable",
}


# Some servers report it as permanent; SendGrid then lists the address as bounced.
MAILBOX_FULL: Step = {**BLOCK, "type": "bounce"}
GROUP_UNSUBSCRIBED: Step = {"event": "group_unsubscribe", "asm_group_id": 1}
GROUP_RESUBSCRIBED: Step = {"event": "group_resubscribe", "asm_group_id": 1}


def without_ids(step: Step) -> Step:
    """Reported long after delivery, when SendGrid knows only the address
    (https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event: an asynchronous bounce)."""
    return {**step, "without_ids": True}


def dropped(reason: str) -> Step:
    return {"event": "dropped", "reason": reason, "status": "5.0.0"}


@dataclass(frozen=True)
class Behaviour:
    """`answer` is an HTTP status, or what happens on the socket instead.

    cut: closed without an answer; reset: the same with a TCP reset; slow: held for `slow_ms`;
    garbage: bytes that are not HTTP; torn: 202 whose body breaks off.
    """

    answer: int | str = 202
    accepted: bool = True
    events: tuple[Step, ...] = (PROCESSED, DELIVERED)
    json_errors: bool = True
    words: str = ""


PLAIN = Behaviour()

BEHAVIOURS: dict[str, Behaviour] = {
    "bounce": Behaviour(events=(PROCESSED, HARD_BOUNCE)),
    "latebounce": Behaviour(events=(PROCESSED, DELIVERED, HARD_BOUNCE)),
    "lostbounce": Behaviour(events=(PROCESSED, DELIVERED, without_ids(HARD_BOUNCE))),
    "lostspam": Behaviour(events=(PROCESSED, DELIVERED, without_ids(SPAM_REPORT))),
    "block": Behaviour(events=(PROCESSED, BLOCK)),
    "mailboxfull": Behaviour(events=(PROCESSED, DEFERRED, MAILBOX_FULL)),
    "groupunsubscribe": Behaviour(events=(PROCESSED, DELIVERED, GROUP_UNSUBSCRIBED)),
    "groupresubscribe": Behaviour(events=(PROCESSED, DELIVERED, GROUP_UNSUBSCRIBED, GROUP_RESUBSCRIBED)),
    "defer": Behaviour(events=(PROCESSED, DEFERRED, DELIVERED)),
    "drop": Behaviour(events=(dropped("Bounced Address"),)),
    "dropspam": Behaviour(events=(dropped("Spam Reporting Address"),)),
    "dropunsubscribed": Behaviour(events=(dropped("Unsubscribed Address"),)),
    "spam": Behaviour(events=(PROCESSED, DELIVERED, SPAM_REPORT)),
    "unsubscribe": Behaviour(events=(PROCESSED, DELIVERED, UNSUBSCRIBED)),
    "silent": Behaviour(events=()),
    "slow": Behaviour(answer="slow"),
    "cut": Behaviour(answer="cut"),
    "reset": Behaviour(answer="reset"),
    "garbage": Behaviour(answer="garbage"),
    "torn": Behaviour(answer="torn"),
    "cutbefore": Behaviour(answer="cut", accepted=False),
    "status200": Behaviour(answer=200, accepted=False, json_errors=False),
    "status302": Behaviour(answer=302, accepted=False, json_errors=False),
    "status400": Behaviour(answer=400, accepted=False),
    "status401": Behaviour(answer=401, accepted=False),
    "status403": Behaviour(answer=403, accepted=False),
    # https://support.sendgrid.com/hc/en-us/articles/18322114821403 (4XX API Errors)
    "nocredits": Behaviour(answer=401, accepted=False, words="Maximum credits exceeded"),
    "unverified": Behaviour(
        answer=403,
        accepted=False,
        words="The from address does not match a verified Sender Identity. Mail cannot be sent until this "
        "error is resolved.",
    ),
    "status413": Behaviour(answer=413, accepted=False),
    "status429": Behaviour(answer=429, accepted=False),
    "status500": Behaviour(answer=500, accepted=False),
    "status500html": Behaviour(answer=500, accepted=False, json_errors=False),
    "status502": Behaviour(answer=502, accepted=False, json_errors=False),
    "status503": Behaviour(answer=503, accepted=False),
    # A gateway that gave up waiting: the mail went through behind it.
    "status504": Behaviour(answer=504, json_errors=False),
}

SHARES = {
    "share_cut_before": "cutbefore",
    "share_cut_after": "cut",
    "share_slow": "slow",
    "share_429": "status429",
    "share_500": "status500",
    "share_500_html": "status500html",
    "share_502": "status502",
    "share_503": "status503",
}


def switch(default: Any, words: str) -> Any:
    return field(default=default, metadata={"words": words})


@dataclass
class Switches:
    """All that `POST /_control` and the page `/switches` can set. Shares are 0 to 1 of all requests."""

    latency_ms: int = switch(0, "time from accepting a mail to answering")
    slow_ms: int = switch(30_000, "how long `slow` holds an answer back")
    share_429: float = switch(0.0, "refused: too many requests")
    share_500: float = switch(0.0, "500 with SendGrid's JSON errors; the mail is not accepted")
    share_500_html: float = switch(0.0, "500 with an HTML page; the mail is not accepted")
    share_502: float = switch(0.0, "502 with an HTML page; the mail is not accepted")
    share_503: float = switch(0.0, "refused: service unavailable")
    share_cut_before: float = switch(0.0, "connection dropped, the mail is not accepted")
    share_cut_after: float = switch(0.0, "connection dropped, the mail is accepted")
    share_slow: float = switch(0.0, "accepted, answered after `slow_ms`")
    rate_limit: int = switch(0, "mails a second before 429; 0 = no limit")
    rate_reset_seconds: int = switch(1, "how far ahead X-RateLimit-Reset lies in a 429")
    key_revoked: bool = switch(False, "every request answers 401")
    suspended: bool = switch(False, "every request answers 403; switching it on sends account_status_change")
    next: tuple[str, ...] = switch((), "magic names for the next requests, one each, before anything else")
    seed: int | None = switch(None, "makes the draws for shares, loss and disorder repeatable")
    events: bool = switch(True, "off: accepted mails get no events")
    event_url: str | None = switch(None, "where events are posted, on loopback; none = no events")
    event_delay_ms: int = switch(50, "time between accepting, the first event and each further one")
    event_batch: int = switch(100, "events in a post at most")
    event_batch_ms: int = switch(20, "how long due events are collected into a post")
    event_retry_ms: int = switch(200, "first pause after a refused post; doubles up to 5 s")
    event_duplicates: float = switch(0.0, "share sent twice; every other copy has a new sg_event_id")
    event_loss: float = switch(0.0, "share never sent")
    event_shuffle: bool = switch(False, "events of a mail come in any order")


SWITCHES = {f.name: f for f in fields(Switches)}


def changed(switches: Switches, changes: Mapping[str, Any]) -> Switches:
    """Return a copy with `changes`, or raise a ValueError that names the switch."""
    return dataclasses.replace(switches, **{name: _checked(name, value) for name, value in changes.items()})


def _checked(name: str, value: Any) -> Any:
    if name not in SWITCHES:
        raise ValueError(f"{name}: no such switch")
    kind = type(SWITCHES[name].default)
    if kind is float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    elif kind is int:
        good = type(value) is int and value >= (1 if name == "event_batch" else 0)
    elif kind is bool:
        good = isinstance(value, bool)
    elif name == "next":
        good = isinstance(value, list | tuple) and all(isinstance(v, str) and v in BEHAVIOURS for v in value)
        value = tuple(value) if good else value
    elif name == "seed":
        good = value is None or type(value) is int
    else:
        good = value is None or (isinstance(value, str) and is_loopback_url(value))
    if not good:
        raise ValueError(f"{name}: {value!r} is not a value for it ({SWITCHES[name].metadata['words']})")
    return value


def is_loopback_url(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https"):
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def by_address(address: str) -> Behaviour:
    """The behaviour named by the local part. `bounce+7@example.org` is `bounce` too, so tests can number
    addresses."""
    local = address.partition("@")[0].partition("+")[0].lower()
    return BEHAVIOURS.get(local, PLAIN)


def choose(switches: Switches, recipients: list[str], rng: Random) -> Behaviour:
    """Decide how this request ends; the first of `switches.next`, if there is one, is used up."""
    if switches.suspended:
        return BEHAVIOURS["status403"]
    if switches.key_revoked:
        return BEHAVIOURS["status401"]
    if switches.next:
        name, *rest = switches.next
        switches.next = tuple(rest)
        return BEHAVIOURS[name]
    roll = rng.random()
    for share, name in SHARES.items():
        roll -= getattr(switches, share)
        if roll < 0:
            return BEHAVIOURS[name]
    wishes = (by_address(address) for address in recipients)
    return next((wish for wish in wishes if wish.answer != 202), PLAIN)
