"""DNS lookups with three answers: records, none, or unknown."""

from collections.abc import Callable

import dns.exception
import dns.resolver

TIMEOUT_S = 5.0  # for one name, all servers and retries together
LONGEST_TEXT = 4000

Lookup = Callable[[str, str], list[str]]
"""Records of a name by type; empty if there are none. Raises DnsUnknown."""


class DnsUnknown(Exception):
    """No server answered, or none knew."""


def lookup_by(resolver: dns.resolver.Resolver) -> Lookup:
    def lookup(name: str, kind: str) -> list[str]:
        try:
            found = resolver.resolve(name, kind, lifetime=TIMEOUT_S, search=False, raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            return []
        except (dns.exception.DNSException, OSError, UnicodeError) as error:
            raise DnsUnknown(f"{kind} {name}: {type(error).__name__}") from error
        if kind != "TXT":
            return [record.to_text() for record in found.rrset or ()]
        return [_text(b"".join(record.strings)) for record in found.rrset or ()]

    return lookup


def system_lookup() -> Lookup:
    """By the resolvers of this machine. Raises DnsUnknown if it has none."""
    try:
        return lookup_by(dns.resolver.Resolver())
    except dns.resolver.NoResolverConfiguration as error:
        raise DnsUnknown("this machine has no resolver configured") from error


def _text(data: bytes) -> str:
    """The owner of a domain controls these bytes: nothing in them may move the cursor of a terminal."""
    text = data[:LONGEST_TEXT].decode("ascii", errors="backslashreplace")
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)
