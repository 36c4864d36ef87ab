"""The staff page of the next run: what it says is what the jobs then do."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.installments.next_step import TOO_LATE
from billing.models import Card, ChargeAttempt, Installment
from csf.dates import local_date
from csf.models import JobRun
from csf.money import money_text
from enrollments.models import User
from notifications.daily.reminders import send_installment_reminders
from notifications.models import EmailMessage
from office import tomorrow
from office.tomorrow import DAYS_AHEAD, SHOWN
from orders.models import Order
from tests.factories import create_household, create_staff
from tests.notifications.due_installments import create_part, create_parts

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
PAGE = "/admin/tomorrow/"
CARDS, REMINDERS = "send_card_notices", "send_installment_reminders"
CHARGES, RETRIES = "charge_due_installments", "retry_failed_payments"
OVERDUE = "process_overdue_installments"
PAYMENT_JOBS = [CARDS, REMINDERS, CHARGES, RETRIES, OVERDUE]

PLANNED = {
    REMINDERS: {"remind": 1_001},
    CARDS: {"expiring": 1_002},
    CHARGES: {"charge": 1_003},
    RETRIES: {"retry": 1_004},
    OVERDUE: {"overdue": 1_005},
}
PAUSED = "the charges of this order are paused"
SKIPPED = {
    REMINDERS: {
        "reminder held": "on hold",
        "reminder paused": PAUSED,
        "nobody": "the family has no address to write to",
    },
    CARDS: {},
    CHARGES: {
        "charge held": "on hold",
        "charge paused": PAUSED,
        "no consent": "no consent to later charges",
        "no card": "no saved card",
        "refused": "the bank refused this card for good",
        "late": TOO_LATE,
    },
    RETRIES: {},
    OVERDUE: {"retry waits": "will be tried again automatically", "overdue held": "on hold"},
}


@pytest.fixture
def today():
    return local_date(timezone.now())


@pytest.fixture
def staff(client):
    client.user = create_staff()
    client.force_login(client.user)
    return client


def put(name, due_on, *, is_held=False, **fields):
    """The second part of an order of a family of that name."""
    part = create_part(due_on=due_on, held_at=timezone.now() if is_held else None, **fields)
    household = part.order.household
    household.name = name
    household.save()
    return part


def put_one_of_each(on):
    """One family for every outcome of that day; its name says which. Gives the names by installment."""
    ahead, now = on + 3 * DAY, timezone.now()
    parts = [
        put("remind", ahead, amount_cents=1_001),
        put("reminder held", ahead, is_held=True),
        put("reminder paused", ahead),
        put("nobody", ahead),
        put("expiring", on + 30 * DAY, amount_cents=1_002),
        put("charge", on, amount_cents=1_003),
        put("charge held", on, is_held=True),
        put("charge paused", on),
        put("no consent", on, consent=False),
        put("no card", on, card=False),
        put("refused", on),
        put("late", on - 40 * DAY),
        put("retry", on - 20 * DAY, status="retry_wait", next_try_on=on, amount_cents=1_004),
        put("retry waits", on - 3 * DAY, status="retry_wait", next_try_on=on + 4 * DAY),
        put("overdue", on - 3 * DAY, status="needs_card", amount_cents=1_005),
        put("overdue held", on - 3 * DAY, status="needs_card", is_held=True),
        put("told", on + 2 * DAY),
    ]
    send_installment_reminders(on=on - DAY)
    assert EmailMessage.objects.filter(fact_id=parts[-1].pk).count() == 1
    for name in ("reminder paused", "charge paused"):
        Order.objects.filter(household__name=name).update(charges_paused_at=now)
    Card.objects.filter(household__name="refused").update(refused_at=now)
    ends_on = (on + 30 * DAY).replace(day=1) - DAY
    Card.objects.filter(household__name="expiring").update(exp_month=ends_on.month, exp_year=ends_on.year)
    User.objects.filter(household__name="nobody").update(household=None)
    return {part.pk: part.order.household.name for part in parts}


def listed(response):
    """Lines of the page by job and list: family, amount in cents and reason."""
    assert response.status_code == 200
    return {
        section.job.name: {
            listing.name: [(row.part and row.part.order.household.name, row.line) for row in listing.rows]
            for listing in section.listings
        }
        for section in response.context["sections"]
    }


def done_by(job, on):
    """Installments that the job really charged, or owes an email about."""
    if job in {CHARGES, RETRIES}:
        status = "scheduled" if job == CHARGES else "retry_wait"
        rows = ChargeAttempt.objects.filter(
            kind="auto", charged_on=on, installment__transitions__from_status=status
        )
        return list(rows.values_list("installment", flat=True))
    kinds = {REMINDERS: "installment_reminder", CARDS: "card_expiring", OVERDUE: "overdue_notice"}
    facts = EmailMessage.objects.filter(kind=kinds[job]).values_list("fact_id", flat=True)
    if job == CARDS:
        return list(
            Installment.objects.filter(order__household__cards__in=facts, number=2).values_list(
                "pk", flat=True
            )
        )
    return list(facts)


def test_what_the_page_and_the_dry_run_list_is_what_the_jobs_do(staff, today, capsys):
    on = today + 2 * DAY
    names = put_one_of_each(on)
    told = done_by(REMINDERS, on)

    page = listed(staff.get(PAGE, {"date": on.isoformat()}))

    planned = {job: {name: line.amount_cents for name, line in page[job]["planned"]} for job in PAYMENT_JOBS}
    skipped = {job: {name: line.reason for name, line in page[job]["skipped"]} for job in PAYMENT_JOBS}
    assert (planned, skipped) == (PLANNED, SKIPPED)
    for job in PAYMENT_JOBS:
        lines = {kind: [line for _, line in page[job][kind]] for kind in ("planned", "skipped")}
        call_command("run_job", job, "--date", on.isoformat(), "--dry-run")
        counts = f"done={len(lines['planned'])} skipped={len(lines['skipped'])} failed=0"
        assert capsys.readouterr().out.splitlines() == [
            *(f"  do {line.subject}: {money_text(line.amount_cents)}" for line in lines["planned"]),
            *(f"  skip {line.subject}: {line.reason}" for line in lines["skipped"]),
            f"would do: {counts}",
        ]
    assert (ChargeAttempt.objects.filter(kind="auto").count(), JobRun.objects.count()) == (0, 0)
    assert (done_by(REMINDERS, on), done_by(CARDS, on), done_by(OVERDUE, on)) == (told, [], [])

    for job in PAYMENT_JOBS:
        call_command("run_job", job, "--date", on.isoformat())

        done = [names[pk] for pk in done_by(job, on) if job != REMINDERS or pk not in told]
        assert done == list(PLANNED[job])
        report = JobRun.objects.get(job=job, on=on).report
        assert report == {
            "done": len(PLANNED[job]),
            "failed": 0,
            "skipped": [{"subject": line.subject, "reason": line.reason} for _, line in page[job]["skipped"]],
        }

    after = listed(staff.get(PAGE, {"date": on.isoformat()}))
    assert {job: list(after[job]) for job in PAYMENT_JOBS} == {job: ["skipped"] for job in PAYMENT_JOBS}
    for job in PAYMENT_JOBS:
        assert [(None, line.subject, line.reason) for _, line in page[job]["skipped"]] == [
            (family, line.subject, line.reason) for family, line in after[job]["skipped"]
        ]


def test_without_a_date_each_job_shows_its_next_run(staff, today):
    put("charge", today)
    put("remind", today + 4 * DAY)
    JobRun.objects.create(job=REMINDERS, on=today, status="done", report={"done": 7})
    JobRun.objects.create(job=CHARGES, on=today, status="failed")
    JobRun.objects.create(job=OVERDUE, on=today, status="running")

    response = staff.get(PAGE)

    days = {section.job.name: (section.on - today).days for section in response.context["sections"]}
    assert {job: days[job] for job in PAYMENT_JOBS} == {
        REMINDERS: 1,
        CARDS: 0,
        CHARGES: 0,
        RETRIES: 0,
        OVERDUE: 1,
    }
    assert [name for name, _ in listed(response)[REMINDERS]["planned"]] == ["remind"]
    assert [name for name, _ in listed(response)[CHARGES]["planned"]] == ["charge"]
    assert {past.run.status for past in response.context["recent_runs"]} == {"done", "failed", "running"}


def test_of_a_past_day_only_what_was_stored_is_shown(staff, today):
    on = today - 3 * DAY
    put("charge", on)
    stored = {"done": 2, "failed": 0, "skipped": [{"subject": "ABC, part 2", "reason": "<b>held</b>"}]}
    run = JobRun.objects.create(job=CHARGES, on=on, status="done", report=stored)
    JobRun.objects.create(job=RETRIES, on=on, status="done", covered_by=run)

    response = staff.get(PAGE, {"date": on.isoformat()})

    assert all(section.is_over for section in response.context["sections"])
    assert [line.subject for _, line in listed(response)[CHARGES]["skipped"]] == ["ABC, part 2"]
    html = response.content.decode()
    assert ("&lt;b&gt;held" in html, "<b>held" in html) == (True, False)
    assert html.count("It did not run on this day.") == len(response.context["sections"]) - 2
    assert "Its work was done by the run on" in html


def test_held_and_released_from_the_page(staff, today):
    part = put("charge", today)
    url = f"{PAGE}?date={today}"

    def post(act, reason):
        answer = staff.post(url, {"act": act, "installment": part.pk, "reason": reason}, follow=True)
        assert answer.redirect_chain == [(url, 302)]
        lists = listed(answer)[CHARGES]
        return [
            [message.level_tag for message in answer.context["messages"]],
            len(lists["planned"]),
            [line.reason for _, line in lists["skipped"]],
        ]

    assert post("hold", "  ") == [["error"], 1, []]
    assert post("release", "x" * 301) == [["error"], 1, []]
    assert post("waive", "hardship") == [["error"], 1, []]
    assert post("hold", "promised to pay") == [["success"], 0, ["on hold"]]
    call_command("run_job", CHARGES, "--dry-run")
    assert post("release", "did not pay") == [["success"], 1, []]
    assert list(part.notes.values_list("text", "by")) == [
        ("held: promised to pay", staff.user.pk),
        ("no longer held: did not pay", staff.user.pk),
    ]
    Installment.objects.filter(pk=part.pk).update(status="paid")
    assert post("hold", "too late") == [["error"], 0, []]


def test_who_may_look_and_who_may_hold(client, today):
    part = put("charge", today)
    hold = {"act": "hold", "installment": part.pk, "reason": "asked"}
    other_page = "/admin/billing/installment/"

    def statuses(user, *permissions):
        client.logout()
        if user:
            user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
            client.force_login(user)
        pages = [client.get(PAGE), client.get(other_page), client.post(PAGE, hold)]
        return [page.status_code for page in pages], pages[0].content.decode().count('value="hold"')

    parent, office = create_household().guardians.get(), create_staff(is_superuser=False)
    assert statuses(None) == ([302, 302, 302], 0)
    assert statuses(parent, "view_installment", "hold_installment") == ([302, 302, 302], 0)
    assert statuses(office) == ([403, 403, 403], 0)
    assert statuses(office, "view_installment") == ([200, 200, 403], 0)
    part.refresh_from_db()
    assert part.held_at is None

    assert statuses(office, "view_installment", "hold_installment") == ([200, 200, 302], 1)
    part.refresh_from_db()
    assert part.held_at is not None
    assert client.get(PAGE)["Content-Security-Policy"] == client.get(other_page)["Content-Security-Policy"]


def test_menu_and_start_page_lead_to_it_only_those_who_may(client):
    office = create_staff(is_superuser=False)
    client.force_login(office)
    assert PAGE not in client.get("/admin/").content.decode()

    office.user_permissions.set(Permission.objects.filter(codename="view_installment"))
    html = client.get("/admin/").content.decode()
    assert html.count(f'href="{PAGE}"') == 2


@pytest.mark.parametrize(
    "query",
    [
        {"date": "2027-13-01"},
        {"date": "tomorrow"},
        {"date": "0001-01-01"},
        {"date": "9999-12-31"},
        {"date": "\0"},
        {"job": "sweep_charges"},
        {"lines": "all"},
    ],
)
def test_nonsense_is_refused(staff, query):
    response = staff.get(PAGE, query)

    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()
    assert "sections" not in response.context


def test_how_far_ahead_one_can_look(staff, today):
    statuses = [
        staff.get(PAGE, {"date": (today + days * DAY).isoformat()}).status_code
        for days in (DAYS_AHEAD, DAYS_AHEAD + 1)
    ]

    assert statuses == [200, 400]


def test_a_long_list_is_cut_with_totals_of_all_and_can_be_paged_through(staff, today, monkeypatch):
    create_parts(SHOWN + 25)
    Installment.objects.filter(number=2).update(due_on=today + 2 * DAY)
    monkeypatch.setattr(tomorrow, "PER_PAGE", 20)

    html = staff.get(PAGE).content.decode()
    last = staff.get(PAGE, {"date": today.isoformat(), "job": REMINDERS, "lines": "planned", "page": "3"})

    assert "and 25 more" in html
    assert "45 to be emailed" in html
    assert "$2,250.00 in all" in html
    assert list(listed(last)) == [REMINDERS]
    assert len(listed(last)[REMINDERS]["planned"]) == 5
    assert "Page 3 of 3" in last.content.decode()


def test_thirty_lines_need_as_many_statements_as_three(staff, today):
    statements, counts = [], []
    staff.get(PAGE)
    for more in (3, 27):
        create_parts(more)
        Installment.objects.filter(number=1).update(status="paid")
        for number, part in enumerate(Installment.objects.filter(number=2).order_by("pk")):
            Installment.objects.filter(pk=part.pk).update(
                due_on=today + [2 * DAY, 0 * DAY, -3 * DAY][number % 3],
                status="needs_card" if number % 3 == 2 else "scheduled",
            )
        with CaptureQueriesContext(connection) as queries:
            page = listed(staff.get(PAGE))
        statements.append(len(queries))
        counts.append(
            [len(page[REMINDERS]["planned"]), len(page[CHARGES]["planned"]), len(page[OVERDUE]["planned"])]
        )

    assert counts == [[1, 1, 1], [10, 10, 10]]
    assert statements[0] == statements[1] <= 60
