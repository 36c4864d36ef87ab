import json
import re
from html import unescape
from pathlib import Path

import pytest
from css_inline import CSSInliner
from django.conf import settings

from csf.web.maps import map_url
from demo.standins.sendgrid.check import problems
from notifications.facts.samples import HOSTILE, LONG
from notifications.registry import EMAILS
from notifications.rendering.palette import ACCENTS, BRAND, DARK, LIGHT
from notifications.rendering.render import MAX_SUBJECT, render
from notifications.rendering.styles import style_sheet
from notifications.rendering.words import TEXT_WIDTH
from notifications.sending.compose import outgoing
from notifications.sending.transport import SendGridBackend
from tests.notifications.mails import ALL, SAMPLES, every_mail, mail_of, row_of

TEMPLATES = Path(settings.BASE_DIR) / "templates" / "emails"
MAX_LINES = 60  # of a long order
SITE = "https://classes.brightsparks.example"


def is_ordinary(kind, sample):
    data = str(SAMPLES[kind][sample])
    return LONG not in data and "<script>" not in data


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL = SITE


def test_every_kind_has_four_samples_and_a_template():
    shared = ("email", "layout.", "components.", "shared.")
    templates = {path.name for path in TEMPLATES.iterdir() if not path.name.startswith(shared)}

    assert all({"minimal", "typical", "huge", "hostile"} <= set(samples) for samples in SAMPLES.values())
    assert {email.accent for email in EMAILS.values()} <= set(ACCENTS)
    assert templates == {f"{kind}.jinja" for kind in EMAILS}


@pytest.mark.parametrize("kind", EMAILS)
def test_a_template_is_made_of_components_and_prose(kind):
    """HTML and text are made of the same words, so there is no markup in them."""
    prose = re.sub(
        r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", (TEMPLATES / f"{kind}.jinja").read_text(), flags=re.S
    )

    assert re.findall(r"</?\w[^>]*>|&#?\w+;", prose) == []


@every_mail
def test_parts_are_complete_and_agree(kind, sample):
    mail = mail_of(kind, sample)

    assert len(mail.subject.splitlines()) == 1
    assert 0 < len(mail.subject) <= MAX_SUBJECT
    for part in (mail.subject, mail.html, mail.text):
        assert not re.search(r"None|\{\{|\{%|&amp;lt;", part)
    assert amounts(mail.text) == amounts(unescape(mail.html))
    contact = {link for link in links_of_html(mail.html) if link.startswith(("tel:", "mailto:"))}
    contact.add(map_url(settings.SCHOOL_NAME, settings.SCHOOL_ADDRESS))  # what the text spells out
    assert links_of_text(mail.text) - contact == links_of_html(mail.html) - contact
    assert "\n\n\n" not in mail.text
    assert "hostile" in sample or not re.search(r"[a-z][.!?][A-Z$]", mail.text)
    assert mail.text.count("\nHi") == words(mail.html).count(" Hi") == 1


@every_mail
def test_html_is_fit_for_mail_programs(kind, sample):
    html = mail_of(kind, sample).html
    ways = ("tel:", "mailto:", "https://www.google.com/maps/search/?api=1&query=")  # to us, and to the class
    links = [link for link in links_of_html(html) if not link.startswith(ways)]
    own_links = [link for link in links if link not in str(SAMPLES[kind][sample])]

    assert len(html.encode()) < 90_000  # Gmail cuts near 102 KB
    assert all(link.startswith(f"{SITE}/") for link in own_links)
    assert html.count("<style") == 2  # for dark and narrow screens, and for Outlook; the rest is inlined
    assert "prefers-color-scheme" in html
    assert "<!--[if mso]>" in html
    assert not re.search(r"display:\s*(flex|grid)|position:|background-image|var\(|rgba|@import|<img", html)


@pytest.mark.parametrize("kind", EMAILS)
def test_styles_are_what_inlining_the_whole_mail_gives(kind):
    """They are put in class by class, which holds only while each selector is one class."""
    html = mail_of(kind, "hostile").html
    bare = re.sub(r' style="[^"]*"', "", html)
    whole = CSSInliner(minify_css=True, extra_css=style_sheet("email.css", EMAILS[kind].accent)).inline(bare)

    assert styles_by_class(html) == styles_by_class(whole)
    assert sum(bool(style) for _, style in styles_by_class(html)) > 15


@pytest.mark.parametrize("kind", EMAILS)
def test_names_are_escaped_in_html_raw_in_text_and_never_start_a_line(kind):
    mail = render(kind, SAMPLES[kind]["hostile"])
    name = " ".join(HOSTILE.split())

    assert "<script" not in mail.html
    assert name in unescape(mail.html)
    assert name in mail.text
    assert "&lt;" not in mail.text + mail.subject
    assert not any(line.lstrip().startswith("Bcc:") for line in mail.text.splitlines())


@pytest.mark.parametrize(("kind", "sample"), [param for param in ALL if is_ordinary(*param.values)])
def test_text_is_at_most_72_wide(kind, sample):
    lines = mail_of(kind, sample).text.splitlines()

    assert [line for line in lines if len(line) > TEXT_WIDTH and not line.startswith("http")] == []


def test_long_lines_are_broken_but_not_within_a_name():
    context = SAMPLES["transfer_confirmation"]["typical"] | {
        "child_first_name": "Anne Marie Louise",
        "old_course": "Robotics and Programming for Beginners",
        "course": "Robotics and Programming for those who have begun long ago",
    }

    assert (
        """
Our office has moved Anne Marie Louise from
Robotics and Programming for Beginners to
Robotics and Programming for those who have begun long ago. The place in
the old class is cancelled.
"""
        in render("transfer_confirmation", context).text
    )


@every_mail
def test_sendgrid_takes_it(kind, sample):
    """The request that anymail makes of it, against the schema of SendGrid's documentation."""
    row = row_of(kind, sample)
    mail = mail_of(kind, sample)
    row.subject, row.html, row.text = mail.subject, mail.html, mail.text
    backend = SendGridBackend()
    payload = backend.build_message_payload(outgoing(row), backend.send_defaults)
    body = json.loads(payload.get_request_params(backend.api_url)["data"])

    assert problems(body) == []
    assert body["subject"] == mail.subject
    assert [part["value"] for part in body["content"]] == [mail.text, mail.html]


def test_control_and_direction_marks_are_dropped():
    context = SAMPLES["enrollment_confirmation"]["typical"] | {"child_first_name": "No\u202e\x07ah\u2028X"}

    assert render("enrollment_confirmation", context).subject == "Noah X is enrolled in Swimming, Level 2"


def test_held_order_is_never_called_confirmed():
    mail = render("order_confirmation", SAMPLES["order_confirmation"]["typical"])

    for part in (mail.text, words(mail.html)):
        shown = " ".join(part.split())
        assert "we'll hold these places until Sat, Aug 29, 2026, 5:35 PM EDT" in shown
        assert "Your first payment of $185.00" in " ".join(part.split())
        assert "Already paid? Then there's nothing left to do." in " ".join(part.split())
        assert "confirmed" not in part
    assert "confirmed" not in mail.subject


def test_free_order_is_confirmed_and_asks_for_nothing():
    mail = render("order_confirmation", SAMPLES["order_confirmation"]["minimal"])

    assert mail.subject == "Your order K7M2P9QX is confirmed"
    for part in (mail.text, words(mail.html)):
        assert "Your places are confirmed, and there is nothing to pay." in " ".join(part.split(" ")).replace(
            "\n", " "
        )
        assert not re.search(r"hold|Pay to|payment plan", part)


def test_long_order_ends_in_a_link_to_the_rest():
    context = SAMPLES["order_confirmation"]["huge"]
    mail = render("order_confirmation", context)
    left = len(context["lines"]) - MAX_LINES

    for part in (mail.text, words(mail.html)):
        assert part.count("was $1,234.56") == MAX_LINES
        assert f"and {left} more: see the whole order" in part
        assert "$111,111.00" in part


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        ({}, ["Left to pay on this order: $358.00.", "Visa ending in 4242", "1 of 3"], "nothing left"),
        ({"left_cents": 0}, ["There's nothing left to pay on this order."], "Left to pay"),
        ({"of": 1, "left_cents": 0}, ["K7M2P9QX", "8C2E51F0"], "1 of 1"),
        ({"card_brand": "", "card_last4": ""}, ["$179.00"], "ending"),
        ({"number": None}, ["This payment doesn't match anything due on your order."], "Left to pay"),
    ],
)
def test_payment_tells_what_is_left_and_how_it_was_paid(changes, said, unsaid):
    mail = render("payment_success", SAMPLES["payment_success"]["typical"] | changes)

    for part in (mail.text, words(mail.html)):
        assert [line for line in said if line not in part] == []
        assert unsaid not in part


@pytest.mark.parametrize(
    ("sample", "said", "unsaid"),
    [
        ("typical", "within 5 to 10 business days", "receipt"),
        ("in_cash", "Keep this email as your receipt.", "business days"),
        ("too_late", "Your payment came too late or was made twice", "receipt"),
    ],
)
def test_a_refund_tells_when_the_bank_shows_it(sample, said, unsaid):
    mail = render("refund_issued", SAMPLES["refund_issued"][sample])

    for part in (mail.text, words(mail.html)):
        assert said in " ".join(part.split())
        assert unsaid not in part


@pytest.mark.parametrize(
    ("sample", "said", "unsaid"),
    [
        ("first_notice", "We'll try again on Thu, Oct 1, 2026.", "contact us"),
        ("second_notice", "Your payment did not go through again", "contact us"),
        ("last_try_ahead", "This is our last automatic try", "won't try"),
        ("final_notice", "Our office will be in touch. Your place is kept for now.", "try again on"),
        (
            "another_card",
            "The card has expired. Nothing was charged. Please use another card",
            "try again on",
        ),
    ],
)
def test_a_failed_charge_says_what_happens_next(sample, said, unsaid):
    context = SAMPLES["payment_failed"][sample]
    mail = render("payment_failed", context)

    for part in (mail.text, words(mail.html)):
        shown = " ".join(part.split())
        assert said in shown
        assert unsaid not in shown
        assert f"{settings.SITE_URL}{context['pay_path']}" in mail.text
        assert not re.search(r"Try again|We hold|lose|stolen|fraud", shown)


def test_class_on_one_day_has_no_plural_and_no_range():
    one_day = {"first_on": "2026-09-16", "last_on": "2026-09-16", "sessions": 1}
    context = SAMPLES["enrollment_confirmation"]["typical"] | one_day
    mail = render("enrollment_confirmation", context)

    for part in (mail.text, words(mail.html)):
        assert "Wednesday, 4:30" in part
        assert part.count("Eastern Time") == 1
        assert not re.search(r"Wednesdays|First day|Last day", part)


def test_the_colour_of_the_kind_is_on_its_badge_only():
    """A red logo reads as phishing."""
    files = [path for path in TEMPLATES.iterdir() if path.suffix in {".css", ".jinja"}]
    lines = [line for path in files for line in path.read_text().splitlines() if "accent." in line]

    assert len(lines) == 2
    assert all(line.strip().startswith(".badge {") for line in lines)


def test_a_receipt_names_child_class_dates_and_who_got_the_money(settings):
    settings.SCHOOL_TAX_NUMBER = "12-3456789"
    mail = render("payment_success", SAMPLES["payment_success"]["typical"])

    for part in (mail.text, words(mail.html)):
        shown = " ".join(part.split())
        for told in (
            "Noah Lopez",
            "Robotics for Beginners",
            "Sat, Sep 12, 2026 \N{EN DASH} Sat, Dec 12, 2026",
            "Tax number 12-3456789",
            settings.SCHOOL_NAME,
            settings.SCHOOL_ADDRESS,
        ):
            assert told in shown
    settings.SCHOOL_TAX_NUMBER = ""
    assert "Tax number" not in render("payment_success", SAMPLES["payment_success"]["typical"]).html


def test_the_enrollment_email_says_what_to_bring_where_and_when():
    mail = render("enrollment_confirmation", SAMPLES["enrollment_confirmation"]["typical"])

    for part in (mail.text, unescape(mail.html)):
        shown = " ".join(part.split())
        assert "a bottle of water" in shown
        assert "https://www.google.com/maps/search/?api=1&query=Springfield+Pool" in shown
        assert "Wed, Sep 23, 2026" in shown.replace("\u00a0", " ")


@pytest.mark.parametrize("kind", ["account_login_code", "account_confirm_email"])
def test_a_code_is_readable_in_the_list_of_emails_and_not_in_what_we_keep(kind):
    context = SAMPLES[kind]["typical"]
    mail = render(kind, context)

    assert f"Your code: {context['code']}." in mail.html.partition("<h1")[0]
    assert context["code"] not in mail.subject  # which staff see


@pytest.mark.parametrize("accent", [BRAND, *ACCENTS.values()], ids=["brand", *ACCENTS])
def test_accents_are_readable(accent):
    """Button and initial, label, notice; then label and the rule of a notice in the dark."""
    assert contrast(LIGHT.card, accent.shade) >= 4.5
    assert contrast(accent.shade, accent.tint) >= 4.5
    assert contrast(LIGHT.text, accent.tint) >= 4.5
    assert contrast(accent.bright, DARK.card) >= 4.5
    assert contrast(accent.bright, DARK.page) >= 3


@pytest.mark.parametrize("surface", [LIGHT, DARK], ids=["light", "dark"])
def test_surfaces_are_readable(surface):
    for ground in (surface.page, surface.card):
        assert min(contrast(ink, ground) for ink in (surface.text, surface.muted, surface.link)) >= 4.5


def test_the_style_sheets_know_no_colours_but_the_palettes():
    known = {value for accent in [BRAND, *ACCENTS.values()] for value in vars(accent).values()}
    known |= {*vars(LIGHT).values(), *vars(DARK).values()}
    used = {
        colour
        for param in ALL
        for colour in re.findall(r"#[0-9A-Fa-f]{3,8}\b(?=[;\s\"!}])", mail_of(*param.values).html)
    }

    assert used <= known


def styles_by_class(html):
    tags = [tag for tag in re.findall(r"<[a-z][^>]*>", html) if " class=" in tag]
    return [(attribute("class", tag), attribute("style", tag)) for tag in tags]


def attribute(name, tag):
    return "".join(re.findall(f' {name}="([^"]*)"', tag))


def words(html):
    """What a reader sees, on one line."""
    shown = re.sub(r"<(style|title)\b.*?</\1>|<!--.*?-->", "", html, flags=re.S)
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", "", re.sub(r"<br>|<tr|<td", r" \g<0>", shown))))


def amounts(part):
    return set(re.findall(r"\$[\d,]+\.\d\d", part))


def links_of_html(html):
    return {unescape(link) for link in re.findall(r'href="([^"]*)"', html)}


def links_of_text(text):
    return set(re.findall(r"https?://\S+", text))


def contrast(one, other):
    """The WCAG contrast ratio of two colours."""
    dark, light = sorted(luminance(colour) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
