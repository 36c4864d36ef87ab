"""`/metrics`: closed without its token, and counted by few queries however many rows there are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from csf.models import StaffTask
from notifications.models import Alert

TOKEN = "t" * 24


@pytest.fixture(autouse=True)
def _token(settings):
    settings.METRICS_TOKEN = TOKEN


def ask(client, token=TOKEN):
    return client.get("/metrics", headers={"authorization": f"Bearer {token}"})


@pytest.mark.parametrize("given", ["", "x", "tt", "\xe9"])
def test_without_its_token_it_tells_nothing(client, db, given):
    answer = ask(client, given)

    assert (answer.status_code, answer.content) == (401, b"unauthorized\n")


def test_without_the_setting_there_is_no_such_page(client, db, settings):
    settings.METRICS_TOKEN = ""

    assert ask(client, "").status_code == 404


def _figures(client):
    answer = ask(client)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_it_counts_rows(client, db):
    with CaptureQueriesContext(
        connection,
    ) as empty:
        before = _figures(client)
    for subject in range(3):
        StaffTask.objects.create(kind="email_failed", subject=f"email.kind:{subject}")
        Alert.objects.create(name="queue", about=str(subject), level="page", text="x")
    with CaptureQueriesContext(connection) as full:
        after = _figures(client)

    assert (before[("csf_ready",)], before["csf_oldest_seconds", "emails_late"]) == (0, 0)
    assert after["csf_staff_tasks_open", "email_failed"] == 3
    assert after["csf_alerts_open", "page", "queue"] == 3
    assert len(full) == len(empty) < 30
