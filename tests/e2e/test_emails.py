"""Every sample of every email in a real browser: axe's rules, no sideways scrolling on a narrow phone, in
light and dark. With CSF_PICTURES=DIRECTORY each is kept as a picture there, to look through.
"""

import os
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from tests.notifications.mails import SAMPLES, mail_of

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("emails in a browser")]

PICTURES = os.environ.get("CSF_PICTURES")
EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
ONLY_COLOURS = ["color-contrast"]  # nothing else depends on the scheme
PHONE, DESKTOP = 320, 600
VIEWS = [(PHONE, "light", EVERYTHING), (DESKTOP, "dark", ONLY_COLOURS)]
OTHER_VIEWS = [(PHONE, "dark", ONLY_COLOURS), (DESKTOP, "light", EVERYTHING)]
# A mail program shows the mail within its own page, which has the one main landmark.
EMBEDDED = {"landmark-one-main": {"enabled": False}, "region": {"enabled": False}}


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.evaluate(AXE_SCRIPT)  # stays while the content changes
    return page


@pytest.mark.parametrize("kind", SAMPLES, ids=str)
def test_email_is_accessible_and_narrow(page, kind):
    """Each sample in light on a phone and in dark on a desktop; the typical one the other way round too."""
    wrong = []

    for sample in SAMPLES[kind]:
        page.set_content(mail_of(kind, sample).html)
        for width, scheme, rules in VIEWS + OTHER_VIEWS * (sample == "typical" or bool(PICTURES)):
            where = f"{kind} {sample}, {width} {scheme}"
            wrong += [f"{where}: {problem}" for problem in look(page, where, width, scheme, rules)]

    assert wrong == []


def look(page, where, width, scheme, rules):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{where}.png", full_page=True)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        yield "scrolls sideways"
    options = {"runOnly": rules, "rules": EMBEDDED, "resultTypes": ["violations"]}
    for violation in page.evaluate("async options => (await axe.run(options)).violations", options):
        for node in violation["nodes"]:
            yield f"{violation['id']} {node['html'][:200]} {node['failureSummary']}"
