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
from csf.models import StaffTask
from csf.sandbox.demo import WEB
from csf.sandbox.journey import Journey
from notifications.models import EmailAttempt, EmailMessage
from tests.conftest import ROOT

ENVIRONMENT = {"CHECKOUT_DECLINE_MAIL_DELAY_S": "3"}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, env=os.environ | ENVIRONMENT, start_new_session=True
    )


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
def test_three_families_get_their_emails_once_each(site, stripe_server, mail_server):
    call_command("seed_demo", families=1)
    call_command("sync_schedules")
    register_endpoint(identity=uuid.uuid4(), remote=True)
    cluster = start("manage.py", "qcluster")
    try:
        wait_for_site(site)
        complete = Journey(site=site, stripe=stripe_server.url, mail=mail_server.url).run()
    finally:
        stop(cluster)

    assert complete
    charges = sorted(
        charge["amount_cents"] for charge in stripe_server.books()["charges"] if charge["succeeded"]
    )
    assert charges == sorted(Payment.objects.values_list("amount_cents", flat=True))
    assert {event.status for event in StripeEvent.objects.all()} == {"processed"}
    told = {str(row.public_id): row for row in EmailMessage.objects.filter(status="sent")}
    assert {mail["custom_args"]["outbox_id"] for mail in mail_server.messages()} == told.keys()
    assert EmailAttempt.objects.count() == len(mail_server.requests()) == len(told)
    assert [row.status for row in EmailMessage.objects.exclude(status="sent")] == [
        "expired"
    ]  # a decline, paid
    assert not StaffTask.objects.exists()
