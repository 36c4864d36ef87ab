"""Every text of every email can be translated: one language marks what goes through gettext, another one is a
real one in small."""

import ast
import re
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.conf import settings
from django.utils.translation import trans_real

from billing.stripe.decline_codes import CLASS_BY_CODE, decline_words
from csf import money
from csf.templatetags import csf_format
from notifications.management.commands.makemessages import messages_of
from notifications.registry import EMAILS
from notifications.rendering import render as rendering
from notifications.rendering import school
from notifications.rendering.jinja import environment
from notifications.rendering.render import render
from tests.notifications.mails import ALL, SAMPLES, every_mail, mail_of

APPS = ["csf", "enrollments", "orders", "billing", "notifications", "office"]
GETTEXT = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
SPOKEN = ("aria-label", "aria-roledescription", "alt", "title")


class Catalogue(NullTranslations):
    """As Django wants one, without a file; keeps what it was asked for."""

    def __init__(self, language, words=None):
        super().__init__()
        self.name, self.words, self.asked = language, words or {}, set()

    def gettext(self, message):
        self.asked.add(message)
        return self.words.get(message, message)

    def ngettext(self, singular, plural, number):
        return self.gettext(singular if number == 1 else plural)

    def language(self):
        return self.name

    to_language = language


class Marks(Catalogue):
    def gettext(self, message):
        self.asked.add(message)
        return f"⟦{message}⟧"


@pytest.fixture
def speak(monkeypatch, settings):
    def speak(catalogue):
        monkeypatch.setitem(trans_real._translations, catalogue.name, catalogue)
        settings.LANGUAGE_CODE = catalogue.name
        return catalogue

    environment.cache_clear()
    yield speak
    environment.cache_clear()


@pytest.fixture
def marks(speak, monkeypatch):
    """What Babel writes is its own business: here it writes no letters. No subject is cut short."""
    monkeypatch.setattr(rendering, "MAX_SUBJECT", 1000)
    for module, name in [
        (money, "format_currency"),
        (csf_format, "format_skeleton"),
        (csf_format, "format_time"),
        (csf_format, "get_timezone_name"),
        (school, "get_timezone_name"),
    ]:
        monkeypatch.setattr(module, name, lambda *args, **options: "1")
    return speak(Marks("eo"))


@every_mail
def test_no_word_is_left_untranslated(kind, sample, marks):
    mail = mail_of(kind, sample)

    for part in (mail.subject, mail.text, spoken(mail.html)):
        assert untranslated(part, SAMPLES[kind][sample]) == []


def test_all_that_is_looked_up_can_be_extracted(marks):
    for param in ALL:
        mail_of(*param.values)

    assert marks.asked - extractable() == set()


def test_words_of_python_are_translated_too(marks):
    told = [decline_words(code) for code in CLASS_BY_CODE] + [str(email.title) for email in EMAILS.values()]

    assert [words for words in told if not re.fullmatch("⟦.*⟧", words)] == []


def test_another_language_has_its_own_order_forms_dates_and_lang(speak):
    context = SAMPLES["overdue_notice"]["typical"] | {"places": []}
    told = "Your installment of %(amount)s was due on %(due_on)s, {} ago, and hasn't been paid yet."
    speak(
        Catalogue(
            "de",
            {
                "Hi %(name)s,": "Hallo %(name)s,",
                told.format("%(days)s days"): "Seit %(days)s Tagen, dem %(due_on)s, fehlen %(amount)s.",
                told.format("%(days)s day"): "Seit gestern, dem %(due_on)s, fehlen %(amount)s.",
                "Your payment of %(amount)s was due on %(due_on)s": "Seit %(since)s fehlen %(amount)s",
            },
        )
    )

    mail = render("overdue_notice", context)
    next_day = render("overdue_notice", context | {"days": 1})

    assert "Hallo Maria,\n\nSeit 7 Tagen, dem Mo., 28. Sept. 2026, fehlen 179,00\u00a0$. " in mail.text
    assert "Seit gestern, dem Mo., 28. Sept. 2026, fehlen 179,00\u00a0$. " in next_day.text
    assert '<html lang="de" dir="ltr"' in mail.html
    assert mail.subject.startswith("Your payment of 179,00 $ was due on")  # nothing fills "since"


def untranslated(part, context):
    """Words that are neither translated nor data."""
    left = " ".join(part.replace("\u2060", "").split())  # unseen, in a subject: no link is made of a name
    marked = re.compile("⟦[^⟦⟧]*⟧")
    while marked.search(left):
        left = marked.sub(" ", left)
    left = re.sub(r"https?://\S+", "", left)
    school = {getattr(settings, name) for name in dir(settings) if name.startswith("SCHOOL_")}
    for data in sorted({*values(context), *school}, key=len, reverse=True):
        left = left.replace(data, "")
    return re.findall(r"[^\W\d_]{2,}", left)


def values(context):
    """The data in it. A word of ours, such as a status, is none, but for lines and the name of an alert."""
    for key, value in context.items() if isinstance(context, dict) else enumerate(context):
        if isinstance(value, dict | list):
            yield from values(value)
        elif isinstance(value, str) and (
            key == "name" or isinstance(key, int) or not re.fullmatch("[a-z_]*", value)
        ):
            yield from (" ".join(line.split()) for line in [value, *value.splitlines()])


class _Spoken(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.is_style = [], False

    def handle_starttag(self, tag, attrs):
        self.is_style = tag == "style"
        self.words += [value for name, value in attrs if name in SPOKEN]

    def handle_data(self, data):
        if not self.is_style:
            self.words.append(data)


def spoken(html):
    """What is shown, and what is only read aloud."""
    parser = _Spoken()
    parser.feed(html)
    return " ".join(parser.words)


def extractable():
    """What `makemessages` finds: constants only."""
    root, found = Path(settings.BASE_DIR), set()
    for path in (root / "templates" / "emails").glob("*.jinja"):
        for _, message in messages_of(path.read_text()):
            found |= {message} if isinstance(message, str) else set(message)
    for path in (path for app in APPS for path in (root / app).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in GETTEXT:
                texts = node.args[:2] if "ngettext" in node.func.id else node.args[:1]
                assert not any(isinstance(text, ast.JoinedStr) for text in texts), f"{path}:{node.lineno}"
                found |= {text.value for text in texts if isinstance(text, ast.Constant)}
    return found
