"""Sentry gets each error once, and nobody's name, address, illness or secret."""

import json
import logging

import pytest
import sentry_sdk
from django.db import connection, transaction
from sentry_sdk.transport import Transport

from csf.logs import error_reports
from csf.logs.json_lines import belongs_to
from csf.logs.redaction import chain, error_text
from tests.factories import create_guardian, create_household

NAME, ADDRESS, ILLNESS, TOKEN = "Okafor", "canary.mail@example.org", "anaphylaxis", "tok3nCanary" + "x7" * 12
DSN = "https://public@sentry.example.org/1"


@pytest.fixture
def events(settings):
    """What would leave this machine."""
    settings.SENTRY_DSN = DSN
    got = []

    class Keep(Transport):
        def capture_envelope(self, envelope):
            got.extend(item.payload.json for item in envelope.items if item.type == "event")

    error_reports.start(transport=Keep)
    yield got
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def _fail(secret):
    """With values in its variables, its arguments and the row that the database refuses."""
    person = {"name": NAME, "allergies": ILLNESS}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE enrollments_user SET email = %s, first_name = %s", [ADDRESS, person["name"]])


def test_an_event_says_where_and_what_and_repeats_nobody(db, events):
    create_guardian(household=create_household(), email=ADDRESS)
    create_guardian(household=create_household())
    before = belongs_to.set({"request_id": "abc"})
    try:
        try:
            _fail(TOKEN)
        except Exception as error:
            found = error
            sentry_sdk.set_user({"email": ADDRESS})
            sentry_sdk.add_breadcrumb(message=ADDRESS)
            logging.getLogger("billing").exception("row %s failed: %s", 7, error, extra={"row": ILLNESS})
        logging.getLogger("django.request").error("Not well: %s", f"/{TOKEN}/{NAME}")
        logging.getLogger("billing").warning("too small for Sentry")
    finally:
        belongs_to.reset(before)

    first, second = events
    sent = json.dumps(events)
    assert [word for word in (NAME, ADDRESS, ILLNESS, TOKEN, "canary") if word.lower() in sent.lower()] == []
    assert first["message"] == f"row 7 failed: {error_text(found)}"
    assert first["tags"] == second["tags"] == {"request_id": "abc"}
    assert [one["value"] for one in first["exception"]["values"]] == [error_text(one) for one in chain(found)]
    assert "23505" in first["exception"]["values"][-1]["value"]
    functions = [frame["function"] for frame in first["exception"]["values"][-1]["stacktrace"]["frames"]]
    assert "_fail" in functions
    assert second["message"] == "Not well: [path]"
    assert "exception" not in second


@pytest.mark.parametrize(("value", "is_one"), [(DSN, True), ("sentry.example.org", False), ("x", False)])
def test_a_dsn_is_checked(value, is_one):
    assert error_reports.is_dsn(value) is is_one


def test_without_the_setting_it_is_off(settings):
    settings.SENTRY_DSN = ""
    error_reports.start()

    assert not sentry_sdk.get_client().is_active()
