"""What parents can read before they pay: the refund rule with its figures, the terms, the privacy notice."""

import pytest
from django.core.checks import Error
from django.test import Client

from csf.startup.checks import configuration
from tests.factories import create_cart, create_course
from tests.pages import parent_of, words

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("days", "credit_days", "rule"),
    [
        (
            15,
            365,
            "Cancel within 15 days of your order and you get the full price back. After that, you get credit "
            "for the remaining sessions to use for other classes, valid for 365 days.",
        ),
        (
            1,
            0,
            "Cancel within 1 day of your order and you get the full price back. After that, you get credit "
            "for the remaining sessions to use for other classes. There is no cancellation fee.",
        ),
        (0, 0, "Cancel on the day of your order and you get the full price back."),
    ],
)
def test_the_refund_rule_is_the_configured_one_from_the_class_to_the_pay_button(
    settings, days, credit_days, rule
):
    settings.REFUND_DAYS, settings.CREDIT_LIFE_DAYS = days, credit_days
    course = create_course()
    order = create_cart(courses=[course])
    parent = parent_of(order.household)

    assert rule in words(Client().get(course.get_absolute_url()))
    for url in ["/cart/", "/checkout/", "/terms/"]:
        assert rule in words(parent.get(url)), url


def test_the_terms_and_the_notice_are_linked_on_every_page_and_at_the_pay_button():
    order = create_cart()
    page = parent_of(order.household).get("/checkout/").text

    button = page.index("Place order and pay")
    assert page.index("/terms/") < page.index("/privacy/") < button
    footer = Client().get("/").text.partition("<footer")[2]
    assert "/terms/" in footer
    assert "/privacy/" in footer


@pytest.mark.parametrize(("url", "name"), [("/terms/", "TERMS"), ("/privacy/", "PRIVACY")])
def test_the_school_sets_its_own_text_or_page(settings, tmp_path, url, name):
    assert "Bright Sparks Academy" in words(Client().get(url))

    file = tmp_path / "own.txt"
    file.write_text("Our own <words>.\n\nAnd more of them - ünïcode.", encoding="utf-8")
    setattr(settings, name, str(file))
    assert words(Client().get(url)).endswith("Our own <words>. And more of them - ünïcode.")

    setattr(settings, name, "https://school.example/legal")
    assert Client().get(url).url == "https://school.example/legal"


@pytest.mark.parametrize("source", ["/no/such/file", "http://school.example/terms", "latin"])
def test_a_text_that_cannot_be_read_is_refused_at_the_start(settings, tmp_path, source):
    if source == "latin":
        (tmp_path / source).write_bytes("Gebühren".encode("latin-1"))
        source = str(tmp_path / source)
    settings.TERMS = source

    [error] = configuration()

    assert isinstance(error, Error)
    assert error.msg.startswith("TERMS must be an https address or a readable text file")
