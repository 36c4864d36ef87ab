"""Reading SPF, DKIM and DMARC records."""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from notifications.alerts.dns import Lookup

SPF_LOOKUPS = 10  # receivers stop there and count the record as broken (RFC 7208, 4.6.4)
ASKING = {"include", "a", "mx", "ptr", "exists", "redirect"}
MECHANISMS = ASKING | {"all", "ip4", "ip6"}
RSA_BITS = 1024


class BadKey(Exception):
    pass


class SpfProblem(Exception):
    pass


def spf_records(texts: list[str]) -> list[str]:
    return [text for text in texts if re.match(r"v=spf1( |$)", text, re.IGNORECASE)]


def spf_problem(lookup: Lookup, domain: str) -> str:
    """What is wrong with a domain's SPF record and with those it includes; empty if nothing is."""
    try:
        _walk(lookup, domain, asked=0, is_included=False)
    except SpfProblem as problem:
        return str(problem)
    return ""


def _walk(lookup: Lookup, domain: str, *, asked: int, is_included: bool) -> int:
    """The number of lookups so far. Loops end at the limit."""
    found = spf_records(lookup(domain, "TXT"))
    if len(found) != 1:
        raise SpfProblem(f"it leads to {domain}, which has {len(found) or 'no'} SPF records")
    terms = [_term(text) for text in found[0].lower().split()[1:]]
    names = [name for _, name, _ in terms]
    for qualifier, name, value in terms:
        if name == "all" and qualifier == "+":
            raise SpfProblem(f"+all of {domain} lets everyone mail in this name, end with ~all")
        if name in ASKING and not (name == "redirect" and "all" in names):
            asked += 1
            if asked > SPF_LOOKUPS:
                raise SpfProblem(f"it needs more than {SPF_LOOKUPS} lookups, so receivers ignore it")
            if name in {"include", "redirect"} and "%" not in value:
                asked = _walk(lookup, value, asked=asked, is_included=name == "include")
    if not is_included and not {"all", "redirect"} & set(names):
        raise SpfProblem("it says nothing of all others, end with ~all")
    return asked


def _term(text: str) -> tuple[str, str, str]:
    """Qualifier, name and value of one term. Raises SpfProblem for what receivers cannot read."""
    match = re.fullmatch(r"([+?~-]?)([a-z][a-z0-9_.-]*)(?:([:=/])(.*))?", text)
    if not match:
        raise SpfProblem(f"receivers cannot read {text!r}")
    qualifier, name, sign, value = match.groups()
    is_modifier = sign == "="
    if not is_modifier and name not in MECHANISMS:
        raise SpfProblem(f"receivers cannot read {text!r}")
    if name in {"include", "exists", "redirect"} and not value:
        raise SpfProblem(f"{text!r} names no domain")
    return qualifier or "+", name, value or ""


def dmarc_tags(record: str) -> dict[str, str] | None:
    """Its tags; None if receivers cannot read it."""
    tags: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in record.split(";"))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value or name.lower() in tags:
            return None
        tags[name.lower()] = value.lower()
    return tags


def check_dkim_key(record: str) -> str:
    """What the key is, in words. Raises BadKey."""
    tags = dmarc_tags(re.sub(r"p\s*=\s*(;|$)", r"p=-\1", record)) or {}
    data = re.search(r"(?:^|;)\s*p\s*=([^;]*)", record)
    if not data:
        raise BadKey("no key that receivers can read")
    if not data[1].strip():
        raise BadKey("a revoked key (p= is empty)")
    try:
        key = base64.b64decode(re.sub(r"\s", "", data[1]), validate=True)
    except binascii.Error:
        raise BadKey("no key that receivers can read") from None
    if tags.get("k", "rsa") == "ed25519":
        return "an Ed25519 key"
    try:
        public = load_der_public_key(key)
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("no key that receivers can read") from None
    if not isinstance(public, RSAPublicKey) or public.key_size < RSA_BITS:
        raise BadKey(f"a key of less than {RSA_BITS} bits")
    return f"an RSA key of {public.key_size} bits"
