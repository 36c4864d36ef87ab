"""What tests of the parents' pages share: a signed-in parent, the words of a page, its queries."""

import re
from html import unescape

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from enrollments.models import Household


def parent_of(household: Household) -> Client:
    client = Client()
    client.force_login(household.guardians.order_by("pk")[0])
    return client


def words(answer) -> str:
    """The text that a page shows, in single spaces, with the plain minus sign."""
    main = answer.text.partition("<main")[2].partition("</main>")[0]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", "<main" + main)).replace("\N{MINUS SIGN}", "-").split())


def without_tokens(answer) -> bytes:
    """A page but for its CSRF tokens, which differ each time."""
    return re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", answer.content)


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
    assert answer.status_code == 200
    return len(captured)


def signed_in(user):
    browser = Client()
    browser.force_login(user)
    return browser
