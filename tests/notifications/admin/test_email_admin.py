"""An email's page for staff: its story, why it was not sent, what may be done, and who may."""

import re
from datetime import timedelta
from html import escape, unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from csf.models import Instance
from csf.templatetags.csf_format import moment
from notifications.admin.email_actions import ACTIONS
from notifications.by_staff import staff_acts
from notifications.by_staff.why_not import Gate, why_not
from notifications.models import DrainSignal, EmailAct, EmailAttempt, EmailEvent, EmailMessage
from notifications.sending.drain import drain
from tests.factories import create_household, create_order
from tests.notifications.email_pages import ALL, eml_of, press, shown, staff_with
from tests.notifications.outbox_rows import TOKEN, WHY, acts_of, one, owe, state_of
from tests.staff_pages import act_on, page_of

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script> & \u202eevil"


@pytest.fixture
def office(client):
    return staff_with(client, ALL)


def buttons_of(html, row):
    found = [action.name for action in ACTIONS if f'href="{act_on(row, action.name)}"' in html]
    return found + (["eml"] if f'href="{eml_of(row)}"' in html else [])


# --- The page -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "queued"}, "it will be sent within a minute"),
        (
            {"status": "queued", "next_attempt_at": "later", "error": "HTTP 503"},
            "it waits until {later} (HTTP 503)",
        ),
        ({"status": "sending"}, "it is being sent"),
        ({"status": "unknown", "error": "cut"}, "the provider gave no answer: it may have been sent (cut)"),
        ({"status": "withheld", "error": "cut"}, "it may have been sent, and a person has to decide (cut)"),
        ({"status": "withheld", "error": "withheld: wrong price"}, "withheld: wrong price"),
        ({"status": "failed", "error": "KeyError: 'lines'"}, "KeyError: 'lines'"),
        ({"status": "expired"}, "it was too late, or its content was no longer true"),
        ({"status": "expired", "error": "it was too late to send"}, "it was too late to send"),
        ({"status": "suppressed", "error": "switched off"}, "switched off"),
        ({"status": "sent"}, ""),
        ({"status": "delivered"}, ""),
        ({"status": "bounced", "error": "old"}, ""),
    ],
)
def test_why_not_in_words(fields, words):
    later = timezone.now() + timedelta(minutes=5)
    if fields.get("next_attempt_at"):
        fields = fields | {"next_attempt_at": later}
    row = one(**fields)
    row.refresh_from_db()

    assert why_not(row, Gate.now()) == words.format(later=moment(later))


def test_why_nothing_goes_at_all():
    row = one()
    row.refresh_from_db()
    until = timezone.now() + timedelta(minutes=3)
    DrainSignal.objects.update(closed_until=until)
    closed = why_not(row, Gate.now())
    Instance.quarantine()

    assert closed == f"the provider is not accepting email: next try at {moment(until)}"
    assert why_not(row, Gate.now()).startswith("nothing leaves this installation: in quarantine since")


def test_the_drain_says_why_it_dropped_one(mail_server):
    late = one(expires_at=timezone.now() - timedelta(hours=1))
    untrue = one(kind="order_confirmation", fact_id=0)

    drain()

    for row, words in [(late, "it was too late to send"), (untrue, "its content was no longer true")]:
        assert (state_of(row), row.error) == ("expired", words)


def test_an_order_and_a_family_list_what_was_sent_and_why_not(office):
    office.user.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_order", "view_household"])
    )
    order = create_order()
    EmailMessage.objects.update(status="suppressed", error="switched off on Monday")
    owe(1, is_test=True, context={"order_number": order.number}, recipient=None, to="test@example.org")

    for page in [
        reverse("admin:orders_order_change", args=[order.pk]),
        reverse("admin:enrollments_household_change", args=[order.household_id]),
    ]:
        html = office.get(page).content.decode()
        assert "switched off on Monday" in html
        assert "test@example.org" not in html


# --- What it says -------------------------------------------------------------------------------------------


def test_reading_needs_a_right_of_its_own_and_is_noted(client):
    row = one(
        status="sent",
        subject="Your payment",
        html="<p>for Maria's eyes</p>",
        text="for Maria's eyes",
        context={"child": "Maria Secret"},
    )

    without = shown(staff_with(client, []), row)
    acts_before = acts_of(row)
    with_right = [shown(staff_with(client, ["read"]), row) for _ in range(2)]

    assert "Maria" not in without
    assert acts_before == []
    assert all("for Maria" in unescape(html) and "Maria Secret" in html for html in with_right)
    assert [act for act, *_ in acts_of(row)] == ["read", "read"]  # of two people


def test_tokens_of_links_are_dots_wherever_staff_look(office):
    without_time = f"{TOKEN.rsplit(':', 2)[0]}:{TOKEN[-43:]}"
    links = f"https://example.org/pay/{TOKEN}/ and https://example.org/emails/{without_time}/"
    row = one(
        status="sent",
        subject="x",
        html=f'<a href="https://example.org/pay/{TOKEN}/">{links}</a>',
        text=links,
        context={"pay_path": f"/pay/{TOKEN}/", "places": [{"link": TOKEN}]},
    )

    html = shown(office, row)

    assert TOKEN[-43:] not in html
    assert "https://example.org/pay/•••••/ and https://example.org/emails/•••••/" in html
    assert "/pay/•••••/" in unescape(unescape(re.search(r'srcdoc="([^"]*)"', html).group(1)))


def test_what_is_hostile_is_shown_as_text(office):
    row = one(
        status="failed", subject=HOSTILE, html=HOSTILE, text=HOSTILE, error=HOSTILE, context={"a": HOSTILE}
    )
    EmailAttempt.objects.create(message=row, outcome="refused", error=HOSTILE)
    EmailAct.objects.create(message=row, act="withheld", by=office.user, reason=HOSTILE)
    EmailEvent.objects.create(
        key="1", outbox_id=row.public_id, name="bounce", detail=HOSTILE, happened_at=timezone.now()
    )

    html = shown(office, row)

    assert "<script>alert" not in html
    assert html.count(escape("<script>alert(1)</script>")) >= 7


# --- What may be done ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"status": "queued"}, ["withhold"]),
        ({"status": "sending"}, []),
        ({"status": "withheld"}, ["requeue", "mark-sent"]),
        ({"status": "sent", "html": "x", "text": "x"}, ["resend", "eml"]),
        ({"status": "sent", "kind": "account_login_code", "html": "x", "text": "x"}, []),
        ({"status": "failed"}, ["resend"]),
    ],
)
def test_buttons_are_those_that_are_possible(office, fields, names):
    row = one(**fields)

    assert buttons_of(shown(office, row), row) == names


@pytest.mark.parametrize("right", ["resend", "withhold", "requeue", "mark_sent", "download"])
def test_each_act_needs_its_own_right(client, right):
    rights = [name for name in ALL if name != right]
    status = {"withhold": "queued", "requeue": "withheld", "mark_sent": "withheld"}.get(right, "sent")
    row = one(status=status, html="x", text="x")
    name = right.replace("_", "-")
    staff = staff_with(client, rights)

    html = shown(staff, row)
    answers = (
        [staff.get(eml_of(row)).status_code]
        if right == "download"
        else [
            staff.get(act_on(row, name)).status_code,
            staff.post(act_on(row, name), {"reason": WHY, "fingerprint": "x"}).status_code,
        ]
    )

    assert ("eml" if right == "download" else name) not in buttons_of(html, row)
    assert set(answers) == {403}
    assert state_of(row) == status
    assert [act for act, *_ in acts_of(row)] == ["read"]


def test_the_form_says_where_it_goes_and_that_it_may_come_twice(office):
    row = one(status="sent")
    row.recipient.email = "new@example.org"
    row.recipient.save()
    unknown = one(status="withheld", error="the connection was cut")

    resend = unescape(office.get(act_on(row, "resend")).content.decode())
    requeue = unescape(office.get(act_on(unknown, "requeue")).content.decode())

    assert "The address has changed since then: it will be sent again to new@example.org." in resend
    assert "the family may get it twice" in requeue
    assert "Send it, perhaps twice" in requeue


@pytest.mark.parametrize("name", ["resend", "withhold", "requeue", "mark-sent"])
def test_pressed_twice_it_is_done_once(office, name):
    status = {"withhold": "queued", "resend": "sent"}.get(name, "withheld")
    row = one(status=status)
    data = {"fingerprint": office.get(act_on(row, name)).context["facts"].fingerprint, "reason": WHY}

    first = office.post(act_on(row, name), data)
    second = office.post(act_on(row, name), data)
    fresh = office.post(act_on(row, name), data | {"fingerprint": second.context["facts"].fingerprint})

    assert (first.status_code, first.url) == (302, page_of(row))
    assert "changed since you opened" in second.context["form"].errors["__all__"][0]
    assert list(fresh.context["form"].errors) == ["__all__"]
    assert len(acts_of(row)) == 1
    assert row.resends.count() == (name == "resend")


@pytest.mark.parametrize("reason", ["", " ", "\0", "x" * 201])
def test_no_act_without_a_reason(office, reason):
    row = one()

    response = press(office, row, "withhold", reason=reason)

    assert list(response.context["form"].errors) == ["reason"]
    assert (state_of(row), acts_of(row)) == ("queued", [])


def test_odd_addresses(office):
    row = one()
    assert office.get(act_on(row, "nothing")).status_code == 404
    for pk in (0, 10**30):
        assert office.get(f"/admin/notifications/emailmessage/{pk}/eml/").status_code == 404
        assert office.get(f"/admin/notifications/emailmessage/{pk}/act/withhold/").status_code == 404
    assert office.get(eml_of(row)).status_code == 404  # not rendered yet


def test_parents_and_strangers_have_nothing_here(client):
    row = one(status="sent", html="x", text="x")
    client.force_login(create_household().guardians.get())
    answers = {client.get(eml_of(row)).status_code, client.post(act_on(row, "resend"), {}).status_code}
    client.logout()
    answers |= {client.get(eml_of(row)).status_code, client.post(act_on(row, "resend"), {}).status_code}

    assert answers <= {302, 403}
    assert not EmailAct.objects.exists()


def test_the_file_comes_as_a_download(mail_server, office):
    row = one()
    drain()

    response = office.get(eml_of(row))

    assert response["Content-Type"] == "message/rfc822"
    assert response["Content-Disposition"] == f'attachment; filename="{row.kind}-{row.pk}.eml"'
    assert b"\r\nX-Auto-Response-Suppress: OOF, AutoReply\r\n" in response.content


# --- Many at once -------------------------------------------------------------------------------------------

LIST = "/admin/notifications/emailmessage/"


def chosen(rows, name, **more):
    return {"action": name, "_selected_action": [row.pk for row in rows], "index": "0"} | more


def test_selected_ones_are_withheld_and_released_with_one_reason(office):
    queued, sent = owe(3), one(status="sent")
    rows = [*queued, sent]

    asked = office.post(LIST, chosen(rows, "withhold_selected"))
    unreasoned = office.post(LIST, chosen(rows, "withhold_selected", newest=sent.pk, reason=" "))
    before = [state_of(row) for row in rows]
    done = office.post(LIST, chosen(rows, "withhold_selected", newest=sent.pk, reason=WHY), follow=True)
    withheld = [state_of(row) for row in rows]
    staff_acts.requeue(email=queued[0], by=office.user, reason=WHY)
    staff_acts.withhold(email=queued[0], by=office.user, reason=WHY)
    EmailAttempt.objects.create(message=queued[1], outcome="unknown")
    warned = office.post(LIST, chosen(rows, "requeue_selected"))
    office.post(LIST, chosen(rows, "requeue_selected", newest=sent.pk, reason="now"))

    assert (asked.context["selected"], asked.context["movable"]) == (4, 3)
    assert "Give a reason" in unreasoned.content.decode()
    assert before == ["queued", "queued", "queued", "sent"]
    assert "Emails withheld: 3." in done.content.decode()
    assert withheld == ["withheld", "withheld", "withheld", "sent"]
    assert warned.context["twice"] == 1
    assert "may get them twice" in warned.content.decode()
    assert [state_of(row) for row in rows] == ["queued", "queued", "queued", "sent"]
    assert acts_of(queued[2]) == [("withheld", "Olga", WHY), ("requeued", "Olga", "now")]


def test_all_of_the_list_are_those_that_were_seen(office):
    rows = owe(2)
    asked = office.post(LIST, chosen(rows[:1], "withhold_selected", select_across="1"))
    later = one()

    form = chosen(
        rows[:1], "withhold_selected", select_across="1", newest=asked.context["newest"], reason=WHY
    )
    office.post(LIST, form)

    assert [state_of(row) for row in [*rows, later]] == ["withheld", "withheld", "queued"]


@pytest.mark.parametrize("newest", ["", "-1", "x", "9" * 40, "²"])
def test_a_forged_bound_does_no_harm(office, newest):
    row = one()

    response = office.post(LIST, chosen([row], "withhold_selected", newest=newest, reason=WHY))

    assert response.status_code in {200, 302}


@pytest.mark.parametrize("name", ["withhold", "requeue"])
def test_many_at_once_needs_the_right_too(client, name):
    staff = staff_with(client, [right for right in ALL if right != name])
    row = one(status="queued" if name == "withhold" else "withheld")
    before = state_of(row)

    html = staff.get(LIST).content.decode()
    staff.post(LIST, chosen([row], f"{name}_selected", newest=row.pk, reason=WHY))

    assert f'value="{name}_selected"' not in html
    assert (state_of(row), acts_of(row)) == (before, [])
