"""`manage.py check_deliverability`: what is right, wrong (with the record to set) and unknown in the DNS."""

import base64
import socketserver
import threading

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import call_command

from notifications.alerts import dns as our_dns
from notifications.alerts.deliverability import check_sender
from notifications.alerts.dns import DnsUnknown, lookup_by
from tests.waiting import PATIENCE_S


def public_key(bits):
    key = generate_private_key(65537, bits).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


KEY, WEAK_KEY = public_key(2048), public_key(1024)[:-20]
SPF, DKIM, DMARC = "classes.example.org", "s1._domainkey.classes.example.org", "_dmarc.classes.example.org"
MX, RETURN, LINKS = "classes.example.org", "em12.classes.example.org", "url12.classes.example.org"
GOOD = {
    ("TXT", SPF): ["google-site-verification=x", "v=spf1 include:sendgrid.net ~all"],
    ("TXT", "sendgrid.net"): ["v=spf1 ip4:167.89.0.0/17 -all"],
    ("TXT", DKIM): [f"k=rsa; t=s; p={KEY}"],
    ("TXT", "s2._domainkey.classes.example.org"): [f"v=DKIM1; p={KEY}"],
    ("TXT", DMARC): ["v=DMARC1; p=reject; rua=mailto:dmarc@example.org"],
    ("MX", MX): ["10 mail.example.org."],
    ("MX", "example.org"): ["5 b.example.org.", "1 a.example.org."],
    ("CNAME", RETURN): ["u7.wl9.sendgrid.net."],
    ("CNAME", LINKS): ["sendgrid.net."],
}


@pytest.fixture(autouse=True)
def sender(settings):
    settings.DEFAULT_FROM_EMAIL = "Bright Sparks <office@classes.example.org>"
    settings.SCHOOL_EMAIL = "office@example.org"
    settings.DKIM_SELECTORS = ["s1", "s2"]
    settings.RETURN_PATH_DOMAIN, settings.LINK_DOMAIN = RETURN, LINKS


def by(records):
    def lookup(name, kind):
        found = records.get((kind, name), [])
        if isinstance(found, Exception):
            raise found
        return found

    return lookup


def checked(changes=None):
    return {finding.what: finding for finding in check_sender(by(GOOD | (changes or {})))}


def test_a_sound_domain_is_ok_in_words():
    assert [(what, found.verdict.value, found.text) for what, found in checked().items()] == [
        ("SPF classes.example.org", "ok", '"v=spf1 include:sendgrid.net ~all"'),
        ("DKIM s1._domainkey.classes.example.org", "ok", "an RSA key of 2048 bits"),
        ("DKIM s2._domainkey.classes.example.org", "ok", "an RSA key of 2048 bits"),
        ("DMARC classes.example.org", "ok", "p=reject"),
        ("MX classes.example.org", "ok", "mail.example.org"),
        ("MX example.org", "ok", "a.example.org, b.example.org"),
        ("return path", "ok", "CNAME u7.wl9.sendgrid.net"),
        ("branded links", "ok", "CNAME sendgrid.net"),
    ]


def chain(length):
    """SPF records of which each includes the next: `length` lookups in all."""
    names = [SPF, *(f"n{number}.example.org" for number in range(length))]
    records = {("TXT", name): [f"v=spf1 include:{names[at + 1]} ~all"] for at, name in enumerate(names[:-1])}
    return records | {("TXT", names[-1]): ["v=spf1 -all"]}


AWAY = DnsUnknown("TXT x: LifetimeTimeout")
SET_DKIM = f"set CNAME {DKIM} s1.domainkey.u7.wl9.sendgrid.net"
SET_DMARC = '"v=DMARC1; p=none; rua=mailto:dmarc@classes.example.org"'
OK, WRONG, UNKNOWN = "ok", "wrong", "unknown"
# Which check, changed records, its verdict, and words of its text.
CASES = {
    "spf missing": ("SPF", {("TXT", SPF): []}, WRONG, f'set TXT {SPF} "v=spf1 include:sendgrid.net ~all"'),
    "spf is another version": ("SPF", {("TXT", SPF): ["v=spf10 -all"]}, WRONG, f"set TXT {SPF}"),
    "two spf": ("SPF", {("TXT", SPF): ["v=spf1 -all", "v=spf1 ~all"]}, WRONG, "2 SPF records count as none"),
    "spf in capitals": ("SPF", {("TXT", SPF): ["V=SPF1 IP4:1.2.3.4 -ALL"]}, OK, "V=SPF1"),
    "+all": ("SPF", {("TXT", SPF): ["v=spf1 +all"]}, WRONG, "+all of classes.example.org lets everyone"),
    "all": ("SPF", {("TXT", SPF): ["v=spf1 mx all"]}, WRONG, "lets everyone"),
    "+all included": ("SPF", {("TXT", "sendgrid.net"): ["v=spf1 all"]}, WRONG, "+all of sendgrid.net"),
    "no all": ("SPF", {("TXT", SPF): ["v=spf1 include:sendgrid.net"]}, WRONG, "says nothing of all others"),
    "redirect": ("SPF", {("TXT", SPF): ["v=spf1 redirect=sendgrid.net"]}, OK, "redirect"),
    "unreadable": ("SPF", {("TXT", SPF): ["v=spf1 inclde:sendgrid.net ~all"]}, WRONG, "cannot read 'inclde"),
    "include nothing": ("SPF", {("TXT", SPF): ["v=spf1 include: ~all"]}, WRONG, "names no domain"),
    "include of none": (
        "SPF",
        {("TXT", "sendgrid.net"): []},
        WRONG,
        "sendgrid.net, which has no SPF records",
    ),
    "10 lookups": ("SPF", chain(10), OK, "include"),
    "11 lookups": ("SPF", chain(11), WRONG, "more than 10 lookups"),
    "a circle": ("SPF", {("TXT", SPF): [f"v=spf1 include:{SPF} ~all"]}, WRONG, "more than 10 lookups"),
    "11 in one": ("SPF", {("TXT", SPF): ["v=spf1 " + "a:x.org " * 11 + "~all"]}, WRONG, "more than 10"),
    "a macro": ("SPF", {("TXT", SPF): ["v=spf1 include:%{i}.x.org ~all"]}, OK, "include"),
    "spf away": ("SPF", {("TXT", SPF): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "include away": ("SPF", {("TXT", "sendgrid.net"): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "dkim missing": ("DKIM", {("TXT", DKIM): []}, WRONG, SET_DKIM),
    "dkim missing, account not known": (
        "DKIM",
        {("TXT", DKIM): [], ("CNAME", RETURN): [], ("TXT", RETURN): ["v=spf1 include:sendgrid.net ~all"]},
        WRONG,
        "s1.domainkey.u<number>.wl<number>.sendgrid.net",
    ),
    "dkim revoked": ("DKIM", {("TXT", DKIM): ["k=rsa; p="]}, WRONG, "a revoked key"),
    "dkim cut": ("DKIM", {("TXT", DKIM): [f"k=rsa; p={KEY[:-40]}"]}, WRONG, "no key that receivers can read"),
    "dkim hostile": ("DKIM", {("TXT", DKIM): ["p=\\x1b[2J\\xff"]}, WRONG, "no key that receivers can read"),
    "dkim twice": ("DKIM", {("TXT", DKIM): [f"p={KEY}", f"p={KEY}"]}, WRONG, "2 keys"),
    "dkim ed25519": ("DKIM", {("TXT", DKIM): ["k=ed25519; p=" + "A" * 43 + "="]}, OK, "Ed25519"),
    "dkim away": ("DKIM", {("TXT", DKIM): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "dmarc missing": ("DMARC", {("TXT", DMARC): []}, WRONG, f"set TXT {DMARC} {SET_DMARC}"),
    "dmarc of the parent": (
        "DMARC",
        {
            ("TXT", DMARC): [],
            ("TXT", "_dmarc.example.org"): ["v=DMARC1;p=reject;sp=quarantine;rua=mailto:x@y"],
        },
        OK,
        "p=quarantine",
    ),
    "dmarc of the top": (
        "DMARC",
        {("TXT", DMARC): [], ("TXT", "_dmarc.org"): ["v=DMARC1; p=none"]},
        WRONG,
        "set",
    ),
    "dmarc none": ("DMARC", {("TXT", DMARC): ["v=DMARC1; p=none; rua=mailto:x@y"]}, OK, "only watches"),
    "dmarc unreported": ("DMARC", {("TXT", DMARC): ["v=DMARC1; p=reject"]}, OK, "nobody gets reports"),
    "two dmarc": (
        "DMARC",
        {("TXT", DMARC): ["v=DMARC1; p=none", "v=DMARC1; p=reject"]},
        WRONG,
        "count as none",
    ),
    "dmarc no policy": ("DMARC", {("TXT", DMARC): ["v=DMARC1; rua=mailto:x@y"]}, WRONG, SET_DMARC),
    "dmarc bad policy": ("DMARC", {("TXT", DMARC): ["v=DMARC1; p=rejct"]}, WRONG, "no valid policy"),
    "dmarc bad syntax": ("DMARC", {("TXT", DMARC): ["v=DMARC1 p=none"]}, WRONG, "no valid policy"),
    "dmarc said twice": ("DMARC", {("TXT", DMARC): ["v=DMARC1; p=none; p=reject"]}, WRONG, "no valid policy"),
    "dmarc away": ("DMARC", {("TXT", DMARC): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "mx missing": ("MX", {("MX", MX): []}, WRONG, f"set MX {MX} 10"),
    "mx of nobody": ("MX", {("MX", MX): ["0 ."]}, WRONG, "reaches nobody"),
    "mx away": ("MX", {("MX", MX): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "return path missing": ("return path", {("CNAME", RETURN): []}, WRONG, f"set CNAME {RETURN} u<number>"),
    "return path elsewhere": (
        "return path",
        {("CNAME", RETURN): ["evil-sendgrid.net."]},
        WRONG,
        "leads to evil-sendgrid.net",
    ),
    "return path by hand": (
        "return path",
        {("CNAME", RETURN): [], ("TXT", RETURN): ["v=spf1 include:sendgrid.net ~all"]},
        OK,
        "v=spf1",
    ),
    "return path away": ("return path", {("CNAME", RETURN): AWAY}, UNKNOWN, "LifetimeTimeout"),
    "links missing": ("branded links", {("CNAME", LINKS): []}, WRONG, f"set CNAME {LINKS} sendgrid.net"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_record(case):
    check, changes, verdict, words = CASES[case]

    found = checked(changes)

    first = next(finding for what, finding in found.items() if what.startswith(check))
    assert first.verdict.value == verdict
    assert words in first.text
    away = any(isinstance(records, DnsUnknown) for records in changes.values())
    others = [other for other in found.values() if other is not first and not away]
    assert {other.verdict.value for other in others} <= {"ok"}


def test_a_key_below_1024_bits_is_wrong(monkeypatch):
    short = base64.b64encode(
        bytes.fromhex("305c300d06092a864886f70d0101010500034b003048024100") + b"\xc1" * 64
    )
    record = f"p={short.decode()[:-1]}" + base64.b64encode(b"").decode()

    assert checked({("TXT", DKIM): [record]})[f"DKIM {DKIM}"].verdict.value == "wrong"


def test_without_the_names_of_the_account_the_return_path_is_unknown(settings):
    settings.RETURN_PATH_DOMAIN = settings.LINK_DOMAIN = ""

    found = checked()

    assert (found["return path"].verdict.value, found["branded links"].verdict.value) == ("unknown", "ok")
    assert "set RETURN_PATH_DOMAIN" in found["return path"].text


@pytest.mark.parametrize("address", ["office", "", "office@" + "x" * 70 + ".org"])
def test_a_sender_without_a_domain(settings, address):
    settings.DEFAULT_FROM_EMAIL = address

    assert [(found.what, found.verdict.value) for found in checked().values()] == [("addresses", "wrong")]


# --- The real resolver against a real server ------------------------------------------------------------


@pytest.fixture
def resolver():
    """dnspython's own, against a DNS server on this machine that answers what the tests put into `zone`."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            query = dns.message.from_wire(self.request[0])
            question = query.question[0]
            key = (dns.rdatatype.to_text(question.rdtype), question.name.to_text().rstrip("."))
            answer = dns.message.make_response(query)
            found = server.zone.get(key, "NXDOMAIN")
            if found == "silence":
                return
            if isinstance(found, str):
                answer.set_rcode(dns.rcode.from_text(found))
            elif found:
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", key[0], *found))
            self.request[1].sendto(answer.to_wire(), self.client_address)

    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Handler)
    server.zone = {}
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], server.server_address[1]
    resolver.zone = server.zone
    yield resolver
    server.shutdown()
    server.server_close()
    thread.join()


def test_records_none_and_nobody_knows(resolver, monkeypatch):
    monkeypatch.setattr(our_dns, "TIMEOUT_S", PATIENCE_S)
    lookup = lookup_by(resolver)
    resolver.zone.update(
        {
            ("TXT", "two.example.org"): ['"v=spf1 " "-all"', '"other"'],
            ("TXT", "hostile.example.org"): ['"\\027[2J\\255\\000' + "x" * 200 + '"'],
            ("TXT", "empty.example.org"): [],
            ("TXT", "broken.example.org"): "SERVFAIL",
            ("TXT", "silent.example.org"): "silence",
            ("MX", "mx.example.org"): ["10 mail.example.org."],
            ("CNAME", "em.example.org"): ["u7.wl9.sendgrid.net."],
        }
    )

    assert sorted(lookup("two.example.org", "TXT")) == ["other", "v=spf1 -all"]
    assert lookup("hostile.example.org", "TXT") == ["\\x1b[2J\\xff\\x00" + "x" * 200]
    assert lookup("empty.example.org", "TXT") == lookup("nothing.example.org", "TXT") == []
    assert lookup("mx.example.org", "MX") == ["10 mail.example.org."]
    assert lookup("em.example.org", "CNAME") == ["u7.wl9.sendgrid.net."]
    for name, why in ("broken.example.org", "NoNameservers"), ("x" * 64 + ".example.org", "LabelTooLong"):
        with pytest.raises(DnsUnknown, match=why):
            lookup(name, "TXT")
    monkeypatch.setattr(our_dns, "TIMEOUT_S", 0.5)
    with pytest.raises(DnsUnknown, match="LifetimeTimeout"):
        lookup("silent.example.org", "TXT")


@pytest.mark.parametrize(("fault", "code"), [({}, None), ({("TXT", SPF): []}, 1), ({("TXT", SPF): AWAY}, 2)])
def test_the_command_says_a_line_each_and_ends_with_a_code(monkeypatch, capsys, fault, code):
    monkeypatch.setattr(
        "notifications.management.commands.check_deliverability.system_lookup", lambda: by(GOOD | fault)
    )

    if code is None:
        call_command("check_deliverability")
    else:
        with pytest.raises(SystemExit) as ended:
            call_command("check_deliverability")
        assert ended.value.code == code

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    assert lines[3] == "ok       DMARC classes.example.org: p=reject"
    assert lines[0].startswith({None: "ok  ", 1: "wrong  ", 2: "unknown  "}[code])


def test_a_machine_without_a_resolver_knows_nothing(monkeypatch, capsys):
    def none():
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver, "Resolver", none)

    with pytest.raises(SystemExit) as ended:
        call_command("check_deliverability")

    assert ended.value.code == 2
    assert capsys.readouterr().err == "this machine has no resolver configured\n"
