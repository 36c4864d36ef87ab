"""Every line that the site's processes print during the whole journey is JSON, and names nobody."""

import json
import os
import re
import subprocess
import sys
import uuid

import pytest
from django.core.management import call_command

from billing.stripe.webhook_endpoint import register_endpoint
from demo.journey.family import World
from demo.journey.journey import Journey
from enrollments.models import User
from notifications.models import EmailMessage
from tests.conftest import ROOT
from tests.e2e import processes

pytestmark = [pytest.mark.drill, pytest.mark.processes]


def manage(*arguments):
    """A command, whose output is for people and no log."""
    command = [sys.executable, "manage.py", *arguments]
    environment = os.environ | processes.ENVIRONMENT
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_the_processes_print_nothing_else(committed_db, stripe_server, mail_server, monkeypatch, capfd):
    monkeypatch.setenv("LOG_FORMAT", "json")
    call_command("seed_demo", families=1)
    call_command("sync_schedules")
    register_endpoint(identity=uuid.uuid4(), remote=True)
    capfd.readouterr()
    with processes.web() as site, processes.cluster():
        assert Journey(World(site, stripe_server.url, mail_server.url, manage=manage)).run()
    lines = capfd.readouterr().err.splitlines()

    assert [line for line in lines if not line.startswith("{")] == []
    loggers = {json.loads(line)["logger"] for line in lines}
    assert {"gunicorn.error", "csf.access"} <= loggers
    people = User.objects.exclude(last_name="").values_list("email", "last_name")
    secrets = {word for person in people for word in person}
    for text in EmailMessage.objects.values_list("text", flat=True):
        secrets |= {token for token in re.findall(r"[\w:.-]{24,}", text) if any(map(str.isdigit, token))}
    assert len(secrets) > 20
    assert [(word, line) for word in secrets for line in lines if word in line] == []
