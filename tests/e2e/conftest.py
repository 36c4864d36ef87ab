"""A real browser before a real site. Both live for a module of tests; each test opens windows of its own."""

import os
import uuid
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.test import Client
from playwright.sync_api import expect, sync_playwright

from billing.stripe.webhook_endpoint import register_endpoint
from demo.journey.pictures import CHROMIUM, MISSING, launch
from tests.conftest import _clone
from tests.e2e import processes
from tests.waiting import PATIENCE_S

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    """Not for the whole session: Playwright keeps an event loop running, which async tests would run into."""
    if not CHROMIUM:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    # Beside its loop Django keeps other connections; those of before would outlive the database.
    connections.close_all()
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # that same loop; nothing of ours runs in it
        expect.set_options(timeout=PATIENCE_S * 1000)
        yield launch(playwright)


@pytest.fixture(scope="module")
def site(browser, django_db_setup, django_db_blocker, template, _stripe_server, _mail_server):
    """gunicorn and a cluster on a small season; what tests write is committed and stays for the module."""
    _stripe_server.control("POST", "/_reset")
    _mail_server.reset()
    with django_db_blocker.unblock():
        call_command("seed_demo", families=3)
        register_endpoint(identity=uuid.uuid4(), remote=True)
        with processes.web() as address, processes.cluster():
            yield SimpleNamespace(url=address, stripe=_stripe_server.url, mail=_mail_server.url)
        _clone(template)


@pytest.fixture
def open_window(browser, site):
    """Opens a page of a fresh browser profile, signed in as `user` if one is given. Its `problems` are what
    the browser's console complains of."""
    contexts = []

    def open_window(*, user=None, viewport=PHONE, **options):
        context = browser.new_context(base_url=site.url, viewport=viewport, **options)
        contexts.append(context)
        if user:
            context.add_cookies([{"name": "session", "value": _session_of(user), "url": site.url}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.problems = []
        page.on("console", lambda message: _note(page, message))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        return page

    yield open_window
    for context in contexts:
        context.close()


def _session_of(user):
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def _note(page, message):
    """Violations of the content security policy come as errors too. That a page itself was answered with an
    error is no complaint: some tests ask for that."""
    is_answer = message.text.startswith("Failed to load resource") and message.location["url"] == page.url
    if message.type in ("error", "warning") and not is_answer:
        page.problems.append(message.text)
