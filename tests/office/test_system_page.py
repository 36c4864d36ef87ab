"""The staff page System: for owners and superusers only, in words, with what they can do there."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from csf import __version__
from csf.jobs.declared import jobs
from csf.jobs.schedules import paused
from csf.models import Cluster, Instance, JobRun, ProofRun
from csf.staff.roles import Role, make_roles
from enrollments.models import User
from notifications.alerts.report import watch
from notifications.models import Alert
from office.system import rhythm
from tests.factories import create_cluster, schedule_all_jobs

pytestmark = pytest.mark.django_db

PAGE = "/admin/system/"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def installation(monkeypatch):
    monkeypatch.setattr("notifications.alerts.rules.disk_symptoms", list)  # of this machine
    cache.clear()
    Instance.begin()
    create_cluster("harbour")
    schedule_all_jobs()


@pytest.fixture
def owner(client):
    make_roles()
    return sign_in(client, Role.OWNER)


def sign_in(client, role):
    user = User.objects.create(email=f"{role.lower()}@example.org", first_name=role, is_staff=True)
    user.groups.add(Group.objects.get(name=role.value))
    client.force_login(user)
    return client


def words(client):
    """What a person reads."""
    html = client.get(PAGE).content.decode()
    main = html[html.index('id="health"') :]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", main)).replace("\xa0", " ").split())


def links_of(client):
    return re.findall(r'href="([^"]+)"', client.get(PAGE).content.decode())


def press(client, **fields):
    answer = client.post(PAGE, fields, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize("role", Role)
def test_only_owners_see_it_and_what_lies_below(client, role):
    make_roles()
    sign_in(client, role)

    status = 200 if role is Role.OWNER else 403
    assert client.get(PAGE).status_code == status
    assert client.post(PAGE, {"act": "run", "name": "purge"}).status_code == (302 if status == 200 else 403)
    assert OrmQ.objects.count() == (1 if status == 200 else 0)
    assert (f'href="{PAGE}"' in client.get("/admin/").content.decode()) == (status == 200)


def test_an_installation_without_a_fault_says_so_and_shows_what_runs(owner):
    JobRun.objects.create(job="purge", on=timezone.localdate(), status="done", finished_at=timezone.now())
    ProofRun.objects.create(mode="full", finished_at=timezone.now())
    OrmQ.objects.create(key="csf", payload="x", lock=timezone.now() - timedelta(seconds=5))

    seen = words(owner)

    assert seen.startswith('id="health"> Health no problems as of')
    for part in (
        "harbour works",
        "Tasks waiting 1, the oldest since",
        "Send installment reminders daily at 9:00 AM none yet",
        "Sweep emails every minute",
        "Contradictions in our data none,",
        "books none open, not compared yet.",
        "free on the disk with",
        f"Version {__version__}",
    ):
        assert part in seen, part
    assert {"/admin/django_q/ormq/", "/admin/djstripe/event/"} <= set(links_of(owner))
    assert re.search(r"Purge daily at 4:30 AM \w+, .+ done", seen)


def test_each_fault_is_told_with_its_moment_and_what_to_do_and_the_urgent_ones_first(owner):
    create_cluster(f"second {HOSTILE}", seen=600)
    Schedule.objects.filter(name="csf:purge").update(repeats=0)
    watch()
    Schedule.objects.filter(name="csf:sweep_emails").delete()

    html = owner.get(PAGE).content.decode()
    seen = words(owner)

    assert HOSTILE not in html
    faults = [
        "now No schedule runs Sweep emails schedule_missing just now Run manage.py sync_schedules.",
        "today Purge is paused job_paused",
        "Resume it on the System page.",
    ]
    assert [fault for fault in faults if fault not in seen] == []
    dead = rf"now Cluster second {re.escape(HOSTILE)} has not responded since .+ cluster \w+, .+ Restart"
    assert re.search(dead, seen)
    assert seen.index("today Purge") > seen.index("now No schedule")
    assert Alert.objects.filter(ended_at=None).count() == 2


def test_a_pause_needs_a_reason_which_the_page_shows_until_it_is_resumed(owner):
    assert press(owner, act="pause", name="purge") == ["Give a reason: it stays in the history."]
    assert paused() == set()

    assert press(owner, act="pause", name="purge", reason=f"disk repair {HOSTILE}") == ["Purge is paused."]
    assert paused() == {"purge"}
    seen = words(owner)
    assert f"Owner : disk repair {HOSTILE}" in seen.replace("Owner:", "Owner :")
    assert "when it is resumed" in seen

    assert press(owner, act="resume", name="purge", reason="done") == ["Purge is no longer paused."]
    assert paused() == set()
    assert "disk repair" not in words(owner)


def test_a_job_is_begun_now_and_what_does_not_exist_is_refused(owner):
    assert press(owner, act="run", name="compare_books") == ["Compare books starts within a minute."]
    assert [row.func() for row in OrmQ.objects.all()] == [jobs()["compare_books"].task]

    assert press(owner, act="run", name="os.system") == ["There is no job os.system."]
    assert press(owner, act="dance", name="purge")[0].startswith("Select a valid choice.")
    assert OrmQ.objects.count() == 1


def test_only_a_cluster_that_is_not_well_can_be_forgotten(owner):
    create_cluster("second", seen=600)

    press(owner, act="forget", name="harbour")
    press(owner, act="forget", name="second")

    assert [row.name for row in Cluster.objects.all()] == ["harbour"]


def test_more_rows_need_no_more_queries(owner):
    def queries():
        with CaptureQueriesContext(connection) as found:
            assert owner.get(PAGE).status_code == 200
        return len(found)

    press(owner, act="pause", name="purge", reason="x")
    few = queries()
    for number in range(5):
        create_cluster(f"more{number}")
        name = list(jobs())[number]
        press(owner, act="pause", name=name, reason="x")
        JobRun.objects.create(job=name, on=timezone.localdate(), status="done", finished_at=timezone.now())

    assert queries() <= few


@pytest.mark.parametrize(
    ("cron", "text"),
    [
        ("* * * * *", "every minute"),
        ("*/5 * * * *", "every 5 minutes"),
        ("7 * * * *", "every hour, 7 past"),
        ("30 16 * * *", "daily at 4:30\u202fPM"),
        ("0 9 * * 1", "0 9 * * 1"),
    ],
)
def test_a_cron_line_in_words(cron, text):
    assert rhythm(cron).replace("\xa0", "\u202f") == text


def test_the_menu_leads_to_it_and_no_longer_to_the_tables_of_packages(admin_client):
    html = admin_client.get(reverse("admin:index")).content.decode()

    assert f'href="{PAGE}"' in html
    assert "/admin/django_q/" not in html
