import html
import re
from urllib.parse import urlencode

import pytest

from demo.standins.sendgrid import MailServer
from demo.standins.sendgrid.behaviour import SWITCHES
from demo.standins.sendgrid.mailbox import in_scheme
from tests.demo.sendgrid_client import EventReceiver, a_mail, ask, send

HOSTILE = """"'><script>alert(1)</script><img src=x onerror=alert(2)>"""


@pytest.fixture(scope="module")
def running():
    with EventReceiver() as receiver, MailServer(event_url=receiver.url) as server:
        yield server


@pytest.fixture
def mail(running):
    running.reset()
    return running


def get(server, path):
    status, headers, raw = ask(server, "GET", path, headers={})
    assert status == 200
    return headers, raw.decode()


def subjects(server, path):
    return re.findall(r'<span class="subject">(.*?)</span>', get(server, path)[1])


def test_an_empty_mailbox_says_so(mail):
    page = get(mail, "/")[1]

    assert "SendGrid stand-in: nothing leaves this machine" in page
    assert "No messages yet" in page


def test_list_is_newest_first_with_state(mail):
    send(mail, a_mail(subject="One"))
    send(mail, a_mail("bounce@example.org", subject="Two"))
    mail.wait_for_events()

    assert subjects(mail, "/") == ["Two", "One"]
    assert '<span class="state bad">bounce</span>' in get(mail, "/")[1]


def test_search_and_kinds(mail):
    send(
        mail,
        a_mail("kim@example.org", subject="Welcome", categories=["welcome"], custom_args={"outbox_id": "X9"}),
    )
    send(mail, a_mail(subject="Receipt"))

    assert subjects(mail, "/?q=KIM%40") == ["Welcome"]
    assert subjects(mail, "/?q=x9") == ["Welcome"]
    assert subjects(mail, "/?q=receipt") == ["Receipt"]
    assert subjects(mail, "/?kind=welcome") == ["Welcome"]
    assert "No messages match" in get(mail, "/?q=nothing")[1]


def test_older_messages_are_a_link_away(mail):
    for number in range(52):
        send(mail, a_mail(subject=f"Mail {number}"))

    first = get(mail, "/?q=mail")[1]
    older = html.unescape(re.search(r'href="([^"]*before[^"]*)"', first)[1])

    assert len(subjects(mail, "/?q=mail")) == 50
    assert subjects(mail, older) == ["Mail 1", "Mail 0"]


def test_list_refreshes_only_when_asked(mail):
    assert "http-equiv" not in get(mail, "/")[1]
    assert 'http-equiv="refresh"' in get(mail, "/?live=1")[1]


@pytest.mark.parametrize(
    ("tab", "words"),
    [
        ("Text", "plain text"),
        ("ICS", "BEGIN:VCALENDAR"),
        ("Headers", "List-Unsubscribe-Post"),
        ("Events", "delivered (delivered)"),
        ("JSON", "tracking_settings"),
    ],
)
def test_tabs(mail, tab, words):
    send(mail, a_mail())
    mail.wait_for_events()

    assert words in get(mail, f"/messages/1?tab={tab}")[1]


def test_only_tabs_that_have_something(mail):
    send(mail, a_mail(content=[{"type": "text/plain", "value": "Only text"}], attachments=None, headers=None))

    page = get(mail, "/messages/1")[1]
    tabs = re.search(r'<nav class="tabs".*?</nav>', page, re.DOTALL)[0]
    assert "HTML" not in tabs
    assert "ICS" not in tabs
    assert "<pre>Only text</pre>" in page


def test_html_is_shown_in_a_frame_that_can_run_nothing(mail):
    body = '<p onclick="x()">Hi & bye</p><script>alert(1)</script>'
    send(mail, a_mail(content=[{"type": "text/html", "value": body}]))

    headers, page = get(mail, "/messages/1")

    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:" in policy
    assert "script" not in policy
    assert "<script" not in page
    sandbox, document = re.search(r'sandbox="([^"]*)" srcdoc="([^"]*)"', page).groups()
    assert "allow-scripts" not in sandbox
    assert "allow-same-origin" not in sandbox
    assert html.unescape(document) == '<base target="_blank">' + body


def test_preview_at_320_px_and_dark(mail):
    rule = "@media (prefers-color-scheme: dark) { p { color: white } }"
    send(mail, a_mail(content=[{"type": "text/html", "value": f"<style>{rule}</style><p>Hi"}]))

    light = get(mail, "/messages/1")[1]
    dark = get(mail, "/messages/1?width=320&scheme=dark")[1]

    assert "max-width:320px" not in light
    assert "max-width:320px;color-scheme:dark" in dark
    assert "@media (max-width: 0)" in light
    assert "@media (min-width: 0)" in dark


def test_in_scheme_touches_nothing_else():
    css = "@media (prefers-color-scheme:light){a{}} :root{color-scheme: light dark}"

    assert in_scheme(css, "light") == "@media (min-width: 0){a{}} :root{color-scheme: light dark}"


@pytest.mark.parametrize("path", ["/", "/?q={}", "/?kind={}", "/?live={}", "/?before={}"])
def test_hostile_values_stay_text_in_the_list(mail, path):
    send(mail, hostile_mail())

    page = get(mail, path.format("%22%3E%3Cscript%3Ealert(1)%3C/script%3E"))[1]

    assert_harmless(page)


@pytest.mark.parametrize("tab", ["HTML", "Text", "ICS", "Headers", "Events", "JSON", "%3Cscript%3E"])
def test_hostile_values_stay_text_in_a_message(mail, tab):
    send(mail, hostile_mail())
    mail.wait_for_events()

    page = get(mail, f"/messages/1?tab={tab}&width=%22%3E%3Cscript%3E&scheme=%22%3E%3Cscript%3E")[1]

    assert_harmless(page)


def hostile_mail():
    return a_mail(
        subject=HOSTILE,
        categories=[HOSTILE],
        headers={"X-Hostile": HOSTILE, f"X-{HOSTILE.replace(' ', '/')}": "1"},  # a name has no spaces
        custom_args={"outbox_id": HOSTILE, HOSTILE: "1"},
        content=[{"type": "text/plain", "value": HOSTILE}, {"type": "text/html", "value": HOSTILE}],
        personalizations=[{"to": [{"email": "pat@example.org", "name": HOSTILE}]}],
        attachments=[{"content": "PHNjcmlwdD4=", "type": "text/calendar", "filename": HOSTILE}],
        **{"from": {"email": "a@b.example", "name": HOSTILE}},
    )


def assert_harmless(page):
    assert "<script" not in page
    assert "<img" not in page


@pytest.mark.parametrize("number", ["0", "1", "999999999", "9" * 20, "x"])
def test_no_such_message(mail, number):
    assert ask(mail, "GET", f"/messages/{number}", headers={})[0] == 404


def test_a_refused_mail_is_not_in_the_mailbox(mail):
    send(mail, a_mail("status400@example.org"))

    assert ask(mail, "GET", "/messages/1", headers={})[0] == 404
    assert subjects(mail, "/") == []


def test_delete_all_empties_the_mailbox_and_keeps_the_books(mail):
    send(mail, a_mail())

    assert ask(mail, "POST", "/messages/delete", b"", headers={})[0] == 303

    assert mail.messages() == []
    assert len(mail.requests()) == 1
    assert ask(mail, "GET", "/messages/1", headers={})[0] == 404


def a_form(**changes):
    """What a browser posts for the switches as they start, with `changes`; unticked boxes are not posted."""
    values = {name: s.default for name, s in SWITCHES.items() if not isinstance(s.default, bool)}
    return urlencode({**values, "next": "", "seed": "", "event_url": "", **changes})


def flip(server, form):
    return ask(server, "POST", "/switches", form, {"Content-Type": "application/x-www-form-urlencoded"})


def test_switches_page_sets_what_the_form_says(mail):
    assert 'name="latency_ms" value="0"' in get(mail, "/switches")[1]

    assert flip(mail, a_form(share_429="0.25", next="cut status503", suspended="on"))[0] == 303

    switches = mail.control()
    assert (switches["share_429"], switches["next"]) == (0.25, ["cut", "status503"])
    assert (switches["suspended"], switches["events"], switches["event_url"]) == (True, False, None)
    assert 'name="next" value="cut status503"' in get(mail, "/switches")[1]


@pytest.mark.parametrize("share", ["2", "much", "", "nan", "<script>"])
def test_switches_page_names_what_is_wrong(mail, share):
    before = mail.control()

    status, _, raw = flip(mail, a_form(share_429=share))

    assert status == 400
    assert b'role="alert">share_429: ' in raw
    assert b"<script" not in raw
    assert mail.control() == before
