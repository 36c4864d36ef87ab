"""The staff page of the email statistics: right numbers, from few statements, for many and for old emails."""

import csv
import datetime
import io
import re
from datetime import timedelta
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from csf.dates import local_date
from notifications.delivery.events import fold_events
from notifications.models import EmailAttempt, EmailEvent, EmailMessage
from notifications.purge import forget_old_data
from notifications.sending.compose import outgoing
from notifications.sending.transport import SendGridBackend
from office.email_statistics import COLUMNS, Period, figures
from office.period_form import MOST_DAYS
from tests.factories import create_order, create_staff

pytestmark = pytest.mark.django_db

PAGE = "/admin/email_statistics/"
NEW_YORK = ZoneInfo("America/New_York")
MAY = Period(datetime.date(2026, 5, 1), datetime.date(2026, 5, 3))


def at(day, hour=12, minute=0):
    return datetime.datetime(2026, 5, day, hour, minute, tzinfo=NEW_YORK)


def email(status="sent", *, kind="payment_success", written=None, taken_s=None, arrived_s=None, **fields):
    """Written at that time, taken so many seconds later, and delivered so many after that."""
    written = written or at(2)
    sent_at = None if taken_s is None else written + timedelta(seconds=taken_s)
    number = EmailMessage.objects.count()
    return EmailMessage.objects.create(
        **{
            "kind": kind,
            "to": f"p{number}@example.org",
            "fact_id": 1,
            "dedupe_key": f"{number}",
            "context": {},
            "status": status,
            "created_at": written,
            "sent_at": sent_at,
            "delivered_at": None if arrived_s is None else sent_at + timedelta(seconds=arrived_s),
        }
        | fields
    )


def counted(row):
    return {name: count for name, count in row.counts.items() if count}


def test_counts_each_state_by_kind_and_day():
    states = ["queued", "sending", "failed", "suppressed", "expired", "unknown", "withheld"]
    for status in states:
        email(status)
    for status in ["sent", "delivered", "bounced", "dropped", "complained"]:
        email(status, taken_s=1)
    email("delivered", kind="welcome", written=at(3), taken_s=1)
    email("delivered", is_test=True, taken_s=1)
    email("delivered", written=at(4), taken_s=1)

    found = figures(MAY)

    all_states = {
        "written": 12,
        "waiting": 2,
        "sent": 5,
        **dict.fromkeys(["delivered", "bounced", "dropped", "complained"], 1),
        **dict.fromkeys(["unknown", "failed", "suppressed", "expired", "withheld"], 1),
    }
    [payments, welcome] = found.by_kind
    assert (payments.kind, counted(payments)) == ("payment_success", all_states)
    assert (welcome.kind, counted(welcome)) == ("welcome", {"written": 1, "sent": 1, "delivered": 1})
    assert [(row.on.day, row.counts["written"]) for row in found.by_day] == [(1, 0), (2, 12), (3, 1)]
    assert [(row.kind, row.on.day) for row in found.cells] == [("payment_success", 2), ("welcome", 3)]
    assert counted(found.total) == all_states | {"written": 13, "sent": 6, "delivered": 2}
    only = figures(Period(MAY.first, MAY.last, kind="welcome"))
    assert counted(only.total) == {"written": 1, "sent": 1, "delivered": 1}


def test_days_begin_and_end_at_midnight_of_the_school():
    for hours in [-1, 0, 23, 24]:  # the first is of 30 April, the last of 2 May
        email(written=at(1, 0) + timedelta(hours=hours))
    email(written=at(3, 23, 59))
    email(written=at(4, 0))
    # In UTC all of them but one would be of another day.
    assert django_settings.SCHOOL_TIME_ZONE == "America/New_York"

    assert [row.counts["written"] for row in figures(MAY).by_day] == [2, 1, 1]


def test_the_day_of_the_clock_change_has_25_hours():
    day = datetime.date(2026, 11, 1)
    first = datetime.datetime(2026, 11, 1, 0, 0, tzinfo=NEW_YORK).astimezone(datetime.UTC)
    for hours in range(-1, 26):
        email(written=first + timedelta(hours=hours))

    assert figures(Period(day, day)).total.counts["written"] == 25


def test_times_are_medians_and_95th_percentiles_of_what_is_known():
    for seconds in range(1, 22):  # 1 to 21
        email("delivered", taken_s=seconds, arrived_s=10 * seconds)
    email("delivered", taken_s=11, arrived_s=-3)  # the provider's clock goes after ours
    email("failed")
    email("delivered", taken_s=11)  # from before deliveries were kept

    found = figures(MAY)

    assert found.total.accepted_s == pytest.approx([11, 19.9])
    assert found.total.delivered_s == pytest.approx([105, 199.5])
    assert found.by_day[0].accepted_s == (None, None)


def test_bounces_by_domain_and_the_share_of_the_second_provider():
    for to in ["a@one.example", "b@ONE.example", '"a@b"@two.example']:
        email("bounced", to=to, taken_s=1)
    email("delivered", to="c@one.example", taken_s=1)
    email("delivered", to="c@three.example", taken_s=1)
    for n in range(25):
        email("bounced", to=f"x@z{n:02}.example", taken_s=1)
    first = EmailMessage.objects.first()
    for route, outcome in [("main", "sent")] * 3 + [("failover", "sent"), ("failover", "not_sent")]:
        EmailAttempt.objects.create(message=first, route=route, outcome=outcome, posted_at=at(2))
    EmailAttempt.objects.create(message=first, route="failover", outcome="sent", posted_at=at(5))
    EmailAttempt.objects.create(
        message=email(is_test=True), route="failover", outcome="sent", posted_at=at(2)
    )

    found = figures(MAY)

    top = [(domain.name, domain.sent, domain.bounced) for domain in found.domains]
    assert top[:3] == [("one.example", 3, 2), ("two.example", 1, 1), ("z00.example", 1, 1)]
    assert len(top) == 20
    assert found.by_second_provider == 0.25


def test_without_emails_there_is_nothing_and_no_error():
    found = figures(MAY)

    assert counted(found.total) == {}
    assert found.by_second_provider == 0


# --- What the figures outlive -------------------------------------------------------------------------------


def test_the_first_delivery_is_kept_with_the_email_and_outlives_texts_and_events():
    create_order()
    message = EmailMessage.objects.get()
    now = timezone.now()
    EmailMessage.objects.update(status="sent", sent_at=now - timedelta(days=100))
    EmailMessage.objects.update(created_at=now - timedelta(days=100, seconds=2))
    arrived_at = (now - timedelta(days=100) + timedelta(seconds=7)).replace(microsecond=0)
    for key, seconds in [("late", 60), ("first", 0)]:
        EmailEvent.objects.create(
            key=key,
            outbox_id=message.public_id,
            name="delivered",
            happened_at=arrived_at + timedelta(seconds=seconds),
            received_at=now - timedelta(days=99),
        )
    fold_events()
    message.refresh_from_db()
    assert (message.status, message.delivered_at) == ("delivered", arrived_at)
    day = local_date(message.created_at)
    before = figures(Period(day, day))

    forget_old_data(on=local_date(now))

    assert not EmailEvent.objects.exists()
    assert EmailMessage.objects.get().html == ""
    assert figures(Period(day, day)) == before
    assert before.total.counts["delivered"] == 1
    assert before.total.accepted_s == [2, 2]
    assert 6 <= before.total.delivered_s[0] <= 7


# --- Many ---------------------------------------------------------------------------------------------------

MANY = """
INSERT INTO notifications_emailmessage
    (public_id, kind, "to", fact_id, dedupe_key, context, secret, status, priority, claims, tries, is_test,
     subject, html, text, error, created_at, sent_at, delivered_at)
SELECT gen_random_uuid(), (ARRAY['welcome', 'payment_success', 'order_confirmation'])[1 + n %% 3],
    'p' || n || '@d' || n %% 500 || '.example', n, 'many:' || n, '{}', '',
    CASE WHEN n %% 100 = 0 THEN 'bounced' ELSE 'delivered' END, 5, 0, 1, false,
    'A subject', repeat('word ' || n || ' ', 200), repeat('text ', 100), '',
    now() - n * interval '25 seconds', now() - n * interval '25 seconds' + interval '2 seconds',
    now() - n * interval '25 seconds' + interval '9 seconds'
FROM generate_series(1, %s) AS n
"""


def test_a_hundred_thousand_emails_answer_in_three_statements():
    """The rows are aggregated in the database, and their texts are not even read."""
    with connection.cursor() as cursor:
        cursor.execute(MANY, [100_000])
        cursor.execute("ANALYZE notifications_emailmessage")
    today = local_date(timezone.now())

    with CaptureQueriesContext(connection) as captured:
        found = figures(Period(today - timedelta(days=29), today))

    assert len(captured) == 3
    assert found.total.counts["written"] == 100_000
    assert found.total.counts["bounced"] == 1000
    assert found.total.accepted_s == [2, 2]
    assert len(found.cells) <= 3 * 31
    for query in captured.captured_queries:
        plan = explain(query["sql"])
        assert all(
            sort.endswith("kB") and int(sort[:-2]) < 20_000
            for sort in re.findall(r"(?:Memory|Disk): (\d+kB)", plan)
        )


def explain(statement):
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}")
        return "\n".join(line for (line,) in cursor.fetchall())


def test_a_short_period_reads_only_its_part_of_the_table():
    with connection.cursor() as cursor:
        cursor.execute(MANY, [20_000])
        cursor.execute("SELECT brin_summarize_new_values('notifications_email_written')")
        cursor.execute("ANALYZE notifications_emailmessage")
    today = local_date(timezone.now())

    with CaptureQueriesContext(connection) as captured:
        figures(Period(today, today))

    assert "notifications_email_written" in explain(captured.captured_queries[0]["sql"])


# --- The page and the CSV -----------------------------------------------------------------------------------


@pytest.fixture
def staff(client):
    client.force_login(create_staff())
    return client


ASKED = {"first": "2026-05-01", "last": "2026-05-03"}


def words(response):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def rows_of_csv(response):
    return list(csv.reader(io.StringIO(response.content.decode())))


def test_page_chart_and_csv_have_the_same_numbers(staff):
    for _ in range(3):
        email("delivered", taken_s=2, arrived_s=130)
    email("bounced", kind="welcome", written=at(3), taken_s=2, to="x@bad.example")

    page = staff.get(PAGE, ASKED)
    table = rows_of_csv(staff.get(PAGE, ASKED | {"csv": "figures"}))

    assert page.status_code == 200
    assert page.context["chart"].most == 3
    assert "Payment received 3 0 3 3 0 0 0 0 0 0 0 0 2.0 s / 2.0 s 2 min / 2 min" in words(page)
    assert "bad.example 1 1" in words(page)
    assert "Sat, May 2, 2026: delivered 3" in words(page)
    header, *lines = table
    assert header[:2] == ["kind", "day"]
    assert header[2:-4] == COLUMNS
    by_cell = {(line[0], line[1]): dict(zip(header, line, strict=True)) for line in lines}
    assert by_cell["payment_success", "2026-05-02"]["written"] == "3"
    assert by_cell["payment_success", "2026-05-02"]["delivered_p95_s"] == "130.0"
    assert by_cell["welcome", ""]["bounced"] == "1"
    assert by_cell["", "2026-05-01"]["written"] == "0"
    assert by_cell["", ""]["written"] == "4"
    assert rows_of_csv(staff.get(PAGE, ASKED | {"csv": "domains"})) == [
        ["domain", "sent", "bounced"],
        ["bad.example", "1", "1"],
    ]


def test_the_chart_has_words_and_no_script(staff):
    email("delivered", taken_s=1)
    html = staff.get(PAGE, ASKED).content.decode()
    chart = html[html.index('<svg viewBox="0 0 1000') : html.index("</figure>")]

    assert 'role="img" aria-labelledby="chart-title chart-about"' in chart
    assert "<title id=" in chart
    assert "<desc id=" in chart
    assert not re.search(r"<script|\bon\w+=|style=", chart)


def test_a_cell_that_begins_like_a_formula_is_text(staff):
    email("bounced", to="x@=cmd|' /C calc'!A0", taken_s=1)

    [_, line] = rows_of_csv(staff.get(PAGE, ASKED | {"csv": "domains"}))

    assert line[0] == "'=cmd|' /c calc'!a0"


@pytest.mark.parametrize(
    "asked",
    [
        {"first": "2026-05-03", "last": "2026-05-01"},
        {"first": "2020-01-01", "last": "2026-05-01"},
        {"first": "yesterday"},
        {"kind": "nonsense"},
        {"first": "0001-01-01", "last": "0001-01-02"},
        {"last": "9999-12-31"},
    ],
)
def test_a_period_that_cannot_be_shown_is_refused_in_words(staff, asked):
    response = staff.get(PAGE, asked)

    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()


def test_shows_the_last_thirty_days_and_at_most_a_year(staff):
    period = staff.get(PAGE).context["period"]

    assert period.last == local_date(timezone.now())
    assert len(period.days) == 30
    first = period.last - timedelta(days=MOST_DAYS - 1)
    assert len(staff.get(PAGE, {"first": first.isoformat()}).context["period"].days) == MOST_DAYS


def test_only_who_may_see_emails_sees_the_figures(client):
    clerk = create_staff(is_superuser=False)
    client.force_login(clerk)
    assert client.get(PAGE).status_code == 403

    clerk.user_permissions.set(Permission.objects.filter(codename="view_emailmessage"))
    client.force_login(clerk)
    assert client.get(PAGE).status_code == 200


# --- No spying ----------------------------------------------------------------------------------------------


def test_neither_opens_nor_clicks_are_tracked():
    create_order()
    message = outgoing(EmailMessage.objects.get())
    backend = SendGridBackend()

    told = backend.build_message_payload(message, backend.send_defaults).data["tracking_settings"]

    assert told["open_tracking"] == told["subscription_tracking"] == {"enable": False}
    assert told["click_tracking"]["enable"] is False
