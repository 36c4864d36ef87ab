"""How mail programs treat the HTML: each element, attribute and declaration of all emails, looked up in the
results of caniemail.com (data/caniemail.json) for Gmail, Outlook, Apple Mail, Yahoo.

Whatever one of them does not support has to stand in `KEPT`, with the reason why the mail still tells the
same there.
"""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.notifications.mails import ALL, mail_of

RESULTS = json.loads((Path(__file__).parent / "data" / "caniemail.json").read_text())
TESTED = RESULTS["features"]

STRUCTURE = "HTML since ever"
WORDING = "for screen readers and our own style sheet; nothing is shown of it"
UNTESTED = {
    **dict.fromkeys(["<html>", "<head>", "<meta>", "<title>", "<a>", "<br>", "<s>"], STRUCTURE),
    **dict.fromkeys(["[href]", "[colspan]", "[bgcolor]", "[charset]", "[name]", "[content]"], STRUCTURE),
    **dict.fromkeys(["[class]", "[scope]", "[aria-roledescription]"], WORDING),
    "color": "CSS 1, in every client",
    ":root": "only asks for the colour schemes, like the meta element",
    "supported-color-schemes": "the older name of color-scheme, for Apple Mail",
    "mso-hide": "only for Outlook on Windows, which knows it",
    "mso-line-height-rule": "only for Outlook on Windows, which knows it",
    "mso-padding-alt": "only for Outlook on Windows, which knows it",
    "-webkit-text-size-adjust": "only for Apple Mail, which knows it",
}
ELEMENTS = {
    **dict.fromkeys(["table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td"], "html-table"),
    "h1": "html-h1-h6",
}

SAME = "only values are used that all support (see VALUES)"
INLINED = "what matters is inlined; without the style element the light mail for a desktop shows"
KEPT = {
    # The style element: dark colours and a phone's paddings.
    "html-style": INLINED,
    "css-selector-class": INLINED,
    "css-selector-grouping": INLINED,
    "css-important": INLINED,
    "css-at-media": f"{INLINED}; the mail is fluid without it",
    "css-at-media-prefers-color-scheme": "the light mail shows, or the client's own inversion of it",
    "css-color-scheme": "the light mail shows, or the client's own inversion of it",
    "html-meta-color-scheme": "the light mail shows, or the client's own inversion of it",
    "css-selector-attribute": "only Apple Mail adds the attribute that is selected, and it supports this",
    # Looks.
    "css-border-radius": "square corners",
    "css-border-spacing": "the tables have cellspacing as well",
    "css-border": "at most 4px; where a paragraph gets no border, its words are the same",
    "css-padding": "in Outlook on Windows paragraphs and labels stand closer; the button has mso-padding-alt",
    "css-margin": "never negative; only distances",
    "css-letter-spacing": SAME,
    "css-line-height": "mso-line-height-rule says what px mean",
    "css-font-weight": SAME,
    "css-font-size": SAME,
    "css-text-align": SAME,
    "css-text-decoration": SAME,
    "css-display": "inline-block is ignored by Outlook on Windows: label and button stay one line",
    "css-height": "the boxes of a letter and a bar; as a least height they look the same",
    "css-width": "only cells and tables have one",
    "css-max-width": "on a table; Outlook on Windows has one in its own comment, and phones are narrower",
    "html-align": "only center",
    "html-height": "a number of px on a cell",
    "html-width": "on tables and cells",
    # Long words and amounts.
    "css-overflow-wrap": "word-wrap or word-break works, but in Outlook on Windows, which widens the column",
    "css-word-wrap": "see overflow-wrap",
    "css-word-break": "see overflow-wrap",
    "css-white-space": "an amount or a number may break; the words are the same",
    # The preview text, which is also the start of the mail where it is not hidden.
    "css-display-none": "max-height, a font of 1px and mso-hide hide it too",
    "css-max-height": "display and mso-hide hide it too",
    "css-overflow": "display and mso-hide hide it too",
    # The rest.
    "html-aria-hidden": "the first letter of the school's name is read before the name",
    "html-aria-label": "the mail is read without its kind; the title says it again",
    "html-role": "on div the mail is read without its kind; on tables it works",
    "html-lang": "on html and div it works",
    "html-dir": "not used on links",
    "html-body": "a div stands for it, and a table within has its colour as well",
    "html-doctype": "nothing depends on it in Outlook on Windows",
}
VALUES = {
    "font-weight": "400|600|700",  # normal and bold everywhere
    "font-size": r"\d+px",
    "letter-spacing": r"\d+px",
    "text-align": "left|center|right",
    "text-decoration": "none|underline",
    "display": "none|block|inline-block",
    "margin(-.*)?": r"\d.*",  # none is negative
    "white-space": "nowrap",
    "height": r"\d+px",
    "border-radius": "[^/]*",
}


@pytest.fixture(scope="module")
def used():
    """Feature by feature, what of it is used in which mail."""
    found = {}
    for kind, sample in (param.values for param in ALL):
        reader = Reader()
        reader.feed(mail_of(kind, sample).html)
        for what in reader.used:
            found.setdefault(what, f"{kind} {sample}")
    return found


def test_all_that_is_used_was_tested_in_mail_programs(used):
    names = {what: where for what, where in used.items() if ": " not in what}
    unknown = {what: where for what, where in names.items() if not feature(what) and what not in UNTESTED}

    assert unknown == {}


def test_what_is_unsupported_somewhere_changes_no_meaning(used):
    looked_up = {feature(what) for what in used if ": " not in what} - {None}
    unsupported = {name for name in looked_up if set(TESTED[name]) != {"y"}}

    assert unsupported - KEPT.keys() == set()
    assert KEPT.keys() - unsupported == set(), "not needed any more"
    assert UNTESTED.keys() - used.keys() == set(), "not needed any more"


def test_only_values_that_all_support(used):
    wrong = [
        f"{name}: {value}"
        for name, _, value in (what.partition(": ") for what in used if ": " in what)
        for pattern, allowed in VALUES.items()
        if re.fullmatch(pattern, name) and not re.fullmatch(allowed, value)
    ]

    assert wrong == []


def feature(what):
    """The name at caniemail.com; None if they have not tested it."""
    if what.startswith("<"):
        name = what.strip("<>")
        return _tested(ELEMENTS.get(name, f"html-{name}"))
    if what.startswith("["):
        return _tested(f"html-{what.strip('[]')}")
    name = f"css-{what}"
    while name != "css" and name not in TESTED:  # `padding-left` is tested as `padding`
        name = name.rpartition("-")[0]
    return _tested(name)


def _tested(name):
    return name if name in TESTED else None


class Reader(HTMLParser):
    """Collects what a mail uses: `<p>`, `[align]`, `padding`, `unit-px`, `at-media`, `selector-class` ..."""

    def __init__(self):
        super().__init__()
        self.used, self.is_style = set(), False

    def handle_decl(self, decl):
        self.used.add("<doctype>")

    def handle_comment(self, data):
        self.used.add("<comments>")

    def handle_starttag(self, tag, attrs):
        self.is_style = tag == "style"
        self.used |= {f"<{tag}>"} | {f"[{name}]" for name, _ in attrs}
        given = dict(attrs)
        self.used -= {"[style]"}
        if given.get("name") in {"color-scheme", "supported-color-schemes"}:
            self.used.add("[meta-color-scheme]")
        self._declarations(given.get("style", ""))

    def handle_data(self, data):
        if not self.is_style:
            return
        for condition in re.findall(r"@media ([^{]*)", data):
            self.used |= {
                "at-media",
                *(f"at-media-{name}" for name in re.findall(r"\(([a-z-]+):", condition)),
            }
        for selector, declarations in re.findall(r"([^{}]+)\{([^{}]*)\}", data):
            self._selector(selector)
            self._declarations(declarations)

    def _selector(self, selector):
        for kind, mark in [
            ("class", "."),
            ("attribute", "["),
            ("grouping", ","),
            ("child", ">"),
            ("id", "#"),
        ]:
            if mark in selector:
                self.used.add(f"selector-{kind}")
        self.used |= set(re.findall(r"::?[a-z-]+", selector))

    def _declarations(self, text):
        for name, _, value in (part.partition(":") for part in text.split(";") if ":" in part):
            name, value = name.strip(), value.strip()
            self.used |= {name, f"{name}: {value.removesuffix('!important').strip()}"}
            self.used |= {f"unit-{unit}" for unit in re.findall(r"\d(%|[a-z]+)\b|\d%", value) if unit}
            if "%" in value:
                self.used.add("unit-percent")
            if "!important" in value:
                self.used.add("important")
            if name == "display" and "none" in value:
                self.used.add("display-none")
            self.used |= {f"function-{call}" for call in re.findall(r"([a-z-]+)\(", value)}
