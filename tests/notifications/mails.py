"""Every sample of every kind, made as the drain makes it, but of rows that no database has seen."""

import uuid

import pytest

from enrollments.models import User
from notifications.facts.samples import HOSTILE
from notifications.models import EmailMessage
from notifications.preferences.rules import footer_links
from notifications.registry import EMAILS
from notifications.rendering.render import render
from tests.conftest import ROOT

SAMPLES = {kind: email.samples for kind, email in EMAILS.items()}
ALL = [pytest.param(kind, name, id=f"{kind}-{name}") for kind, samples in SAMPLES.items() for name in samples]
every_mail = pytest.mark.parametrize(("kind", "sample"), ALL)


def kinds_in(*folders):
    """The kinds of email that are declared in these folders of notifications/emails/."""
    declared = ROOT / "notifications" / "emails"
    return {file.stem for folder in folders for file in declared.glob(f"{folder}/*.py")} & EMAILS.keys()


def row_of(kind, sample):
    recipient = User(
        email="maria@example.org",
        first_name=HOSTILE if "hostile" in sample else "Maria",
        last_name="Lopez",
        public_id=uuid.UUID(int=1),
    )
    return EmailMessage(
        kind=kind,
        context=SAMPLES[kind][sample],
        to=recipient.email,
        recipient=recipient,
        public_id=uuid.UUID(int=2),
        tries=1,
    )


def mail_of(kind, sample):
    row = row_of(kind, sample)
    return render(kind, row.context | footer_links(row))
