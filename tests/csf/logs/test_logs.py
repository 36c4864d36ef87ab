"""What a log line says, and that it contains nobody's name, address, illness or secret."""

import json
import logging
import os
import subprocess
import sys

import pytest
import requests
import stripe
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory

from billing.stripe import gateway
from csf.logs import json_lines
from csf.logs.json_lines import JsonFormatter, belongs_to
from csf.logs.redaction import error_text, redact_foreign, redact_ours
from csf.web import health
from csf.web import request_ids as numbers
from enrollments.models import Child, User
from orders.cart import OrderRefused
from tests.conftest import ROOT
from tests.factories import create_child, create_guardian, create_household

NAME, ADDRESS, ILLNESS, TOKEN = "Okafor", "canary.mail@example.org", "anaphylaxis", "tok3nCanary" + "x7" * 12
STREET, PHONE = "17 Canary Lane", "+1 555 0199"
CANARIES = (NAME, ADDRESS, "canary", ILLNESS, TOKEN, STREET, PHONE)


@pytest.fixture
def lines():
    """What production would print, of every logger there is."""
    got = []

    class Keep(logging.Handler):
        def emit(self, record):
            got.append(self.format(record))

    keep = Keep()
    keep.setFormatter(JsonFormatter())
    deaf = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    deaf = [logger for logger in deaf if isinstance(logger, logging.Logger) and not logger.propagate]
    for logger in (logging.root, *deaf):
        logger.addHandler(keep)
    yield got
    for logger in (logging.root, *deaf):
        logger.removeHandler(keep)


def read(lines):
    return [json.loads(line) for line in lines]


def assert_silent(lines):
    """Each is one object on one line, and none repeats a canary."""
    assert lines
    assert all("\n" not in line and isinstance(json.loads(line), dict) for line in lines)
    told = [(word, line) for word in CANARIES for line in lines if word.lower() in line.lower()]
    assert told == []


def test_a_record_is_one_json_object_on_one_line(lines):
    logging.getLogger("billing").warning("event %s failed", 'evt_1\n{"level": "forged"}')

    [line] = lines
    parsed = json.loads(line)
    assert "\n" not in line
    assert (parsed["level"], parsed["logger"]) == ("WARNING", "billing")
    assert parsed["message"] == 'event evt_1\n{"level": "forged"} failed'


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        ("stripe event evt_1PabcDEF2345678901234567 failed", None),
        ("payment page cs_test_a1b2c3d4e5f6g7h8i9j0k1l2m3 of attempt 7", None),
        ("notifications.tasks.send_class_reminders did not end", None),
        ("cluster ip-10-0-1-23.eu-west-1.compute.internal-csf is silent", None),
        ("row 0f8fad5b-d9cb-469f-a165-70867728950e is gone", None),
        ("session q3v9k2m8x7c1b5n4z6l0p2o8i7u6y5t4 ended", "session [token] ended"),
        (f"mail to {ADDRESS}: no", "mail to [email] no"),
        (f"see https://u:p@example.org/pay/{TOKEN}?x=1 now", "see https://example.org now"),
        (f"key SG.{TOKEN}", "key [token]"),
        ("sk_live_4eC39HqLyjWDarjtT1zdp7dc4eC3", "[token]"),
    ],
)
def test_our_own_words_keep_numbers_and_lose_secrets(said, cut):
    assert redact_ours(said) == (cut or said)


@pytest.mark.parametrize(
    ("said", "cut"),
    [
        (
            'duplicate key "x"\nDETAIL:  Key (email)=(a) already exists.\nCONTEXT:  SQL',
            "duplicate key [value]",
        ),
        (
            f"Max retries exceeded with url: /v3/mail/{TOKEN} (Caused by x)",
            "Max retries exceeded with url: [path] [values]",
        ),
        ("No such customer: 'cus_123'", None),
        ("No such customer: 'Okafor'", "No such customer: [value]"),
        (f"{{'{ADDRESS}': (550, b'no')}}", "{[value]: (550, b[value])}"),
        ("Invalid request from ip=203.0.113.9", "Invalid request from ip=[address]"),
        ("Listening at: http://127.0.0.1:8000 (12)", "Listening at: http://127.0.0.1:8000 [values]"),
        (
            "Failed 'billing.tasks.charge' (abc) - Okafor\n : Traceback (most recent call last):\n"
            '  File "billing/tasks.py", line 3, in charge\n    run(attempt)\n'
            "billing.x.OrderRefused: Okafor has a place\nDETAIL:  Okafor\nValueError: Okafor\n",
            "Failed 'billing.tasks.charge' [values]\nTraceback (most recent call last):\n"
            '  File "billing/tasks.py", line 3, in charge\n    run(attempt)\n'
            "billing.x.OrderRefused\nValueError",
        ),
    ],
)
def test_words_of_libraries_lose_all_values(said, cut):
    assert redact_foreign(said) == (cut or said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (AttributeError("'NoneType' object has no attribute 'pk'"), None),
        (KeyError(NAME), "KeyError"),
        (ValueError(f"{NAME} is odd"), "ValueError"),
        (ValidationError(f"{NAME} is odd"), "ValidationError"),
        (OrderRefused(f"{NAME} already has a place"), "OrderRefused"),
        (
            gateway.StripeRefused(stripe.InvalidRequestError("No such price: 'price_1'", None)),
            "StripeRefused: No such price: 'price_1'",
        ),
        (requests.ConnectionError(f"url: /x/{TOKEN} (Caused by {NAME!r})"), "ConnectionError: url: [path]"),
    ],
)
def test_an_error_says_what_it_is(error, said):
    assert error_text(error).startswith(said or f"{type(error).__name__}: {error}")


def _provoke(sql, *values):
    """An error of the database with a whole row in it, logged as a page or a task would log it."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, values)
    except Exception as error:
        logging.getLogger("billing").exception("row %s failed: %s", 7, error)
        logging.getLogger("library").error("it failed: %s, %r", error, error, exc_info=True)
        logging.getLogger("django-q").error(
            f"Failed 'x' (y) - {error} : Traceback (most recent call last):\n{error!r}"
        )


def test_errors_of_the_database_name_no_row(db, lines):
    create_guardian(household=create_household(), email=ADDRESS)
    child = create_child(household=create_household(), first_name=NAME)
    users, children = User._meta.db_table, Child._meta.db_table
    _provoke(f"UPDATE {users} SET email = %s, first_name = %s", ADDRESS, NAME)
    _provoke(f"INSERT INTO {users} SELECT * FROM {users}")
    _provoke(f"UPDATE {users} SET first_name = %s", NAME * 60)
    _provoke(f"UPDATE {children} SET born_on = %s::text::date WHERE id = %s", ILLNESS, child.pk)
    _provoke(f"UPDATE {children} SET public_id = NULL WHERE id = %s", child.pk)
    _provoke(f"SELECT '{ILLNESS} {STREET}'::int")

    assert_silent(lines)
    assert any("23505" in line and "enrollments_user" in line for line in lines)
    assert len(lines) == 3 * 6


def _break(request):
    """A page that fails with everything in its hands."""
    first_name, allergies = NAME, ILLNESS
    try:
        raise IntegrityError(
            f'duplicate "{first_name}"\nDETAIL:  Failing row contains ({allergies}, {STREET}).'
        )
    except IntegrityError as error:
        raise RuntimeError(f"cannot write to '{ADDRESS}' at /reset/{TOKEN}/") from error


def test_pages_that_fail_or_refuse_name_no_visitor(db, lines, monkeypatch):
    """Paths with tokens, hosts, forms and errors; a journey that goes well says nothing either."""
    client = Client(raise_request_exception=False)
    client.post("/account/signup/", {"email": ADDRESS, "password1": TOKEN})
    client.post("/account/login/", {"login": ADDRESS, "password": TOKEN})
    client.get(f"/emails/{TOKEN}/", {"email": ADDRESS})
    client.get(f"/{TOKEN}/{NAME}")
    client.get("/", headers={"host": f"{NAME}.canary.example"})
    client.get(f"/account/password/reset/key/1-{TOKEN}/")
    Client(enforce_csrf_checks=True).post(f"/account/login/?next=/{TOKEN}", {"login": ADDRESS})
    client.post(f"/webhooks/stripe/{TOKEN}/", ADDRESS, content_type="application/json")
    monkeypatch.setattr("csf.web.site_files.JsonResponse", lambda *args, **kwargs: _break(None))
    broken = client.get("/manifest.webmanifest", {"email": ADDRESS})

    assert_silent(lines)
    number = broken.headers["X-Request-ID"]
    [error] = [line for line in read(lines) if line["logger"] == "django.request" and "exception" in line]
    assert (error["message"], error["request_id"]) == ("500 GET /manifest.webmanifest", number)
    assert error["exception"].endswith("RuntimeError: cannot write to [value] at [path]")
    assert number in broken.text
    assert {"request_id", "method", "route", "status", "took_ms"} <= read(lines)[-1].keys()


@pytest.mark.parametrize(
    ("proxies", "given", "is_taken"),
    [(1, "a1b2c3d4-e5", True), (0, "a1b2c3d4-e5", False), (1, "short", False), (1, 'x" y\t12345', False)],
)
def test_the_number_of_a_request_is_the_proxys_if_it_is_sane(settings, proxies, given, is_taken):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    seen = []

    def page(request):
        seen.append(numbers.current())
        return health.healthz(request)

    answer = numbers.numbered(page)(RequestFactory().get("/healthz", headers={"X-Request-ID": given}))

    assert seen == [answer["X-Request-ID"]]
    assert (seen == [given]) is is_taken
    assert numbers.current() == ""


def test_a_line_of_a_task_names_it(lines):
    json_lines._begin_task(task={"func": "billing.tasks.charge", "id": "abc"})
    try:
        logging.getLogger("billing").warning("odd")
    finally:
        json_lines._end_task()
    logging.getLogger("billing").warning("even")

    odd, even = read(lines)
    assert (odd["task"], odd["task_id"]) == ("billing.tasks.charge", "abc")
    assert "task" not in even
    assert belongs_to.get() == {}


def test_what_nobody_caught_in_any_thread_and_warnings_are_lines_too(db):
    code = (
        "import django, threading, warnings; django.setup()\n"
        "def fail(): raise KeyError('Okafor')\n"
        "warnings.warn('canary.mail@example.org')\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "fail()"
    )
    environment = os.environ | {
        "LOG_FORMAT": "json",
        "DJANGO_SETTINGS_MODULE": "csf.settings",
        "PYTHONWARNINGS": "",
    }
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )

    assert_silent(run.stderr.splitlines())
    assert [json.loads(line)["logger"] for line in run.stderr.splitlines()] == [
        "py.warnings",
        "csf.uncaught",
        "csf.uncaught",
    ]
    assert run.returncode == 1
