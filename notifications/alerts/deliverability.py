"""Whether other mail servers can trust our sender: its DNS records, looked up now.

Each check ends as ok, wrong (with the record to set) or unknown (nobody answered, or the setting is missing).
SendGrid posts from a return path of its own below the sender's domain, so receivers check that one's SPF
record; the domain's own record counts for everyone else who sends as it.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parseaddr
from enum import Enum
from functools import partial

from django.conf import settings

from notifications.alerts.dns import DnsUnknown, Lookup
from notifications.alerts.records import BadKey, check_dkim_key, dmarc_tags, spf_problem, spf_records

SENDGRID = "sendgrid.net"
POLICIES = {"none", "quarantine", "reject"}


class Verdict(Enum):
    OK = "ok"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    what: str
    verdict: Verdict
    text: str


class Wrong(Exception):
    """The message says what to set."""


class NotConfigured(Exception):
    """A setting is missing, so we do not know where to look."""


def check_sender(lookup: Lookup) -> list[Finding]:
    """All checks of DEFAULT_FROM_EMAIL's domain and of the address that parents answer to."""
    return [_finding(what, check) for what, check in _checks(lookup)]


def _checks(lookup: Lookup) -> Iterator[tuple[str, Callable[[], str]]]:
    domain, reply_domain = (
        _domain(address) for address in (settings.DEFAULT_FROM_EMAIL, settings.SCHOOL_EMAIL)
    )
    if not domain or not reply_domain:
        yield "addresses", _no_domain
        return
    yield f"SPF {domain}", partial(_spf, lookup, domain)
    for selector in settings.DKIM_SELECTORS:
        yield f"DKIM {selector}._domainkey.{domain}", partial(_dkim, lookup, domain, selector)
    yield f"DMARC {domain}", partial(_dmarc, lookup, domain)
    for receiver in dict.fromkeys([domain, reply_domain]):
        yield f"MX {receiver}", partial(_mx, lookup, receiver)
    yield "return path", partial(_return_path, lookup, domain)
    yield "branded links", partial(_branded_links, lookup)


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, Verdict.OK, check())
    except Wrong as error:
        return Finding(what, Verdict.WRONG, str(error))
    except (DnsUnknown, NotConfigured) as error:
        return Finding(what, Verdict.UNKNOWN, str(error))


def _domain(address: str) -> str:
    """As DNS writes it; empty if the address has none."""
    _, at, domain = parseaddr(address)[1].lower().rpartition("@")
    try:
        return domain.encode("idna").decode() if at else ""
    except UnicodeError:
        return ""


def _no_domain() -> str:
    raise Wrong("set DEFAULT_FROM_EMAIL and SCHOOL_EMAIL to addresses with a domain")


def _spf(lookup: Lookup, domain: str) -> str:
    found = spf_records(lookup(domain, "TXT"))
    if not found:
        raise Wrong(f'set TXT {domain} "v=spf1 include:{SENDGRID} ~all"')
    if len(found) > 1:
        raise Wrong(
            f"{len(found)} SPF records count as none: merge them into one TXT {domain}: {_shown(found)}"
        )
    if problem := spf_problem(lookup, domain):
        raise Wrong(f"{problem}: TXT {domain} is {_shown(found)}")
    return _shown(found)


def _dkim(lookup: Lookup, domain: str, selector: str) -> str:
    name = f"{selector}._domainkey.{domain}"
    keys = [text for text in lookup(name, "TXT") if "p=" in text.replace(" ", "")]
    if not keys:
        target = _cname(lookup, settings.RETURN_PATH_DOMAIN) or f"u<number>.wl<number>.{SENDGRID}"
        raise Wrong(
            f"set CNAME {name} {selector}.domainkey.{target} (SendGrid shows it: Sender Authentication)"
        )
    if len(keys) > 1:
        raise Wrong(f"{len(keys)} keys at TXT {name}: keep one, receivers may take either")
    try:
        return check_dkim_key(keys[0])
    except BadKey as error:
        raise Wrong(f"{error} at TXT {name}: renew it in SendGrid's sender authentication") from error


def _cname(lookup: Lookup, name: str) -> str:
    """Where a CNAME leads, without the last dot; empty if it is none."""
    found = lookup(name, "CNAME") if name else []
    return found[0].rstrip(".").lower() if found else ""


def _dmarc(lookup: Lookup, domain: str) -> str:
    wanted = f'set TXT _dmarc.{domain} "v=DMARC1; p=none; rua=mailto:dmarc@{domain}"'
    labels = domain.split(".")
    # A subdomain without a record follows its parent's, up to the one below the top-level domain.
    for name in (".".join(labels[start:]) for start in range(len(labels) - 1)):
        found = [text for text in lookup(f"_dmarc.{name}", "TXT") if re.match(r"v\s*=\s*DMARC1\b", text)]
        if len(found) > 1:
            raise Wrong(
                f"{len(found)} DMARC records count as none: keep one TXT _dmarc.{name}: {_shown(found)}"
            )
        if found:
            return _dmarc_policy(found[0], name, is_parent=name != domain)
    raise Wrong(wanted)


def _dmarc_policy(record: str, name: str, *, is_parent: bool) -> str:
    tags = dmarc_tags(record)
    policy = tags and (tags.get("sp", tags.get("p")) if is_parent else tags.get("p"))
    if not tags or tags.get("p") not in POLICIES or policy not in POLICIES:
        raise Wrong(f'no valid policy: set TXT _dmarc.{name} "v=DMARC1; p=none; rua=mailto:dmarc@{name}"')
    notes = ["only watches: set p=quarantine when its reports are clean"] if policy == "none" else []
    notes += [] if "rua" in tags else [f"nobody gets reports: add rua=mailto:dmarc@{name}"]
    return "; ".join([f"p={policy}", *notes])


def _mx(lookup: Lookup, domain: str) -> str:
    hosts = [record.split()[-1].rstrip(".") for record in lookup(domain, "MX")]
    if not any(hosts):
        raise Wrong(f"set MX {domain} 10 <your mail server>: what parents answer reaches nobody")
    return ", ".join(sorted(filter(None, hosts)))


def _return_path(lookup: Lookup, domain: str) -> str:
    name = settings.RETURN_PATH_DOMAIN
    if not name:
        raise NotConfigured(f"set RETURN_PATH_DOMAIN to the host that SendGrid shows (em<number>.{domain})")
    target = _cname(lookup, name)
    if _is_sendgrids(target):
        return f"CNAME {target}"
    if target:
        raise Wrong(f"CNAME {name} leads to {target}: set it to u<number>.wl<number>.{SENDGRID}")
    # Without SendGrid's automated security it is an MX and an SPF record instead.
    by_hand = spf_records(lookup(name, "TXT"))
    if len(by_hand) == 1 and f"include:{SENDGRID}" in by_hand[0].lower().split():
        return _shown(by_hand)
    raise Wrong(
        f"set CNAME {name} u<number>.wl<number>.{SENDGRID} (SendGrid shows it: Sender Authentication)"
    )


def _branded_links(lookup: Lookup) -> str:
    name = settings.LINK_DOMAIN
    if not name:
        return "not needed: click tracking is off, links lead to the site"
    target = _cname(lookup, name)
    if not _is_sendgrids(target):
        raise Wrong(f"set CNAME {name} {SENDGRID}" + (f", it leads to {target}" if target else ""))
    return f"CNAME {target}"


def _is_sendgrids(target: str) -> bool:
    return target == SENDGRID or target.endswith(f".{SENDGRID}")


def _shown(records: list[str]) -> str:
    return ", ".join(f'"{record}"' for record in records)
