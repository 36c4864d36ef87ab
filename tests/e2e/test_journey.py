"""The whole thing as real processes: gunicorn, a Django-Q cluster, both stand-ins, and a parent over HTTP."""

import os
import subprocess
import sys
import time
import urllib.request
import uuid

import pytest
from django.conf import settings
from django.core.management import call_command

from billing.endpoint import register_endpoint
from billing.models import Payment, StripeEvent
from csf.sandbox.demo import WEB
from csf.sandbox.journey import Journey
from notifications.models import EmailAttempt, EmailMessage
from tests.conftest import ROOT

EMAIL = "newcomer@example.org"


def start(*arguments):
    return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=os.environ, start_new_session=True)


def stop(process):
    process.terminate()
    process.wait(30)


@pytest.fixture
def site(committed_db, stripe_server, mail_server):
    web = start(*WEB, "--bind", f"127.0.0.1:{settings.SITE_PORT}")
    yield f"http://127.0.0.1:{settings.SITE_PORT}"
    stop(web)


def wait_for_site(site):
    for _ in range(300):
        try:
            with urllib.request.urlopen(f"{site}/healthz"):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the site does not start")


@pytest.mark.processes
def test_an_order_is_paid_and_its_emails_arrive_once_each(site, stripe_server, mail_server):
    call_command("seed_demo", families=1)
    call_command("seed_demo", family=EMAIL)
    register_endpoint(identity=uuid.uuid4(), remote=True)
    cluster = start("manage.py", "qcluster")
    try:
        wait_for_site(site)
        complete = Journey(site=site, stripe=stripe_server.url, mail=mail_server.url, email=EMAIL).run()
    finally:
        stop(cluster)

    assert complete
    payment = Payment.objects.get()
    [charge] = stripe_server.books()["charges"]
    assert (charge["amount_cents"], charge["succeeded"]) == (payment.amount_cents, True)
    assert {event.status for event in StripeEvent.objects.all()} == {"processed"}
    assert {message.status for message in EmailMessage.objects.all()} == {"sent"}
    sent = {
        (mail["custom_args"]["outbox_id"], mail["subject"], mail["html"]) for mail in mail_server.messages()
    }
    assert sent == {(str(row.public_id), row.subject, row.html) for row in EmailMessage.objects.all()}
    assert EmailAttempt.objects.count() == len(mail_server.requests()) == 4
