"""Every kind of email on the staff's page: from samples, from a real order, and as a test to oneself."""

import re
import uuid
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from notifications.models import EmailAct, EmailMessage
from notifications.outbox import dedupe_key
from notifications.registry import EMAILS
from notifications.sending.drain import drain
from orders.models import Order
from tests.factories import create_order, create_staff
from tests.notifications.email_pages import staff_with
from tests.notifications.mails import SAMPLES, kinds_in
from tests.shop import Shop, accept, order_with_plan

pytestmark = pytest.mark.django_db

TOKEN = re.compile(r"[\w-]+:[\w-]{43}(?![\w-])")


def page(**asked):
    return reverse("admin:email_previews") + "".join(
        f"{'&' if number else '?'}{name}={value}" for number, (name, value) in enumerate(asked.items())
    )


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


@pytest.fixture
def office(client):
    staff = staff_with(client, ["read", "test"])
    staff.user.user_permissions.add(Permission.objects.get(codename="view_order"))
    return staff


def framed(html):
    return unescape(re.search(r'<iframe sandbox [^>]*srcdoc="([^"]*)"', html).group(1))


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_sample_is_shown_in_a_closed_frame(office, kind):
    for sample in SAMPLES[kind]:
        response = office.get(page(kind=str(kind), sample=sample))
        html = response.content.decode()

        assert response.status_code == 200
        assert response.context["look"].why_not == ""
        assert "<script>alert" not in html
        assert "default-src 'none'" in framed(html)
        assert not TOKEN.search(framed(html) + response.context["look"].text)


@pytest.mark.parametrize(
    ("colours", "rule", "scheme"), [("light", "@media not all", "light"), ("dark", "@media all", "dark")]
)
def test_colours_do_not_depend_on_the_browser(office, colours, rule, scheme):
    html = framed(office.get(page(colours=colours)).content.decode())

    assert "prefers-color-scheme" not in html
    assert rule in html
    assert f'<meta name="color-scheme" content="{scheme}">' in html


@pytest.mark.parametrize(("width", "px"), [("phone", "320px"), ("desktop", "600px")])
def test_widths(office, width, px):
    assert f"width: {px}" in office.get(page(width=width)).content.decode()


def test_subject_headers_text_and_files_are_shown(office):
    preview = office.get(page(kind="enrollment_confirmation")).context["look"]

    assert preview.subject.endswith("Swimming, Level 2")
    assert {"Subject", "From", "To", "Reply-To", "Message-ID", "Auto-Submitted"} <= dict(
        preview.headers
    ).keys()
    assert "Swimming, Level 2" in preview.text


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "nothing"},
        {"kind": "%00"},
        {"colours": "pink"},
        {"width": "10000"},
        {"order": "x" * 21},
        {"order": "<script>"},
        {"sample": "x" * 61},
    ],
)
def test_odd_requests_are_refused_in_words(office, asked):
    response = office.get(page(**asked))

    assert response.status_code == 400
    assert 'role="alert"' in response.content.decode()


@pytest.mark.parametrize("asked", [{}, {"sample": "<b>"}, {"kind": ""}, {"order": "NOSUCH"}])
def test_what_is_missing_is_the_usual(office, asked):
    assert office.get(page(**asked)).status_code == 200


# --- From a real order --------------------------------------------------------------------------------------


def test_a_real_order_tells_what_is_true_now(shop, office):
    part = order_with_plan(shop)
    order = part.order
    child = order.items.get().child

    found = {
        kind: office.get(page(kind=str(kind), order=order.number.lower())).context["look"] for kind in SAMPLES
    }

    made = {str(kind) for kind, preview in found.items() if not preview.why_not}
    assert made == {
        "order_confirmation",
        "order_paid",
        "payment_success",
        "installment_reminder",
        "overdue_notice",
        "card_expiring",
        "enrollment_confirmation",
        "class_starts_soon",
    }
    assert str(child) in found["enrollment_confirmation"].text
    assert "/pay/•••••/" in found["installment_reminder"].text
    family = order.household.guardians.get()
    headers = dict(found["installment_reminder"].headers)
    assert family.email in headers["To"]
    assert "•••••" in headers["List-Unsubscribe"]
    for preview in found.values():
        assert not TOKEN.search(f"{preview.text} {preview.frame} {preview.headers}")
    assert "is not about an order" in found["account_login_code"].why_not
    assert "Nothing has happened" in found["refund_issued"].why_not


def test_the_newest_fact_is_the_one_that_owed_the_email(shop, office):
    """What the preview finds for a kind is what notify() was given."""
    part = order_with_plan(shop)
    order = Order.objects.get(pk=part.order_id)
    place = order.items.get().enrollment
    cancel_enrollment(enrollment=place, by=create_staff(), reason="x", now=timezone.now())

    told = EmailMessage.objects.filter(context__order_number=order.number)
    newest = {row.kind: row for row in told.order_by("pk")}

    assert {"order_confirmation", "payment_success", "enrollment_confirmation"} <= newest.keys()
    found = {kind: EMAILS[kind].newest_fact(order) for kind in newest}
    assert {kind: fact.pk for kind, fact in found.items()} == {k: row.fact_id for k, row in newest.items()}
    assert {kind: dedupe_key(kind, fact, newest[kind].recipient) for kind, fact in found.items()} == {
        kind: row.dedupe_key for kind, row in newest.items()
    }


def test_every_kind_about_money_or_a_place_finds_its_order():
    assert {kind for kind, email in EMAILS.items() if email.is_about_orders} == kinds_in("money", "places")


def test_orders_need_the_rights_to_read_them(client):
    order = create_order()
    staff = staff_with(client, ["test"])

    samples = staff.get(page())
    real = staff.get(page(order=order.number))

    assert samples.status_code == 200
    assert 'name="order"' not in samples.content.decode().split("<h2")[0]
    assert real.status_code == 403


# --- A test to oneself --------------------------------------------------------------------------------------


def press(client, **typed):
    data = {"kind": "payment_success", "sample": "typical", "key": str(uuid.uuid4())} | typed
    return client.post(page(), data, follow=True)


def test_a_test_comes_to_me_only(mail_server, office):
    key = str(uuid.uuid4())

    first = press(office, key=key, to="victim@example.org")
    press(office, key=key)
    drain()

    assert f"A test is on its way to {office.user.email}." in first.content.decode()
    assert first.redirect_chain[0][0].startswith("/admin/email_previews/?kind=payment_success&sample=typical")
    [message] = mail_server.messages()
    assert message["to"] == [office.user.email]
    assert message["subject"].startswith("[TEST] ")
    assert EmailAct.objects.get().by == office.user


def test_a_test_of_a_real_order_opens_nothing(shop, mail_server, office):
    order = order_with_plan(shop).order
    EmailMessage.objects.update(status="sent")

    press(office, kind="installment_reminder", order=order.number)
    drain()

    row = EmailMessage.objects.get(is_test=True)
    [message] = mail_server.messages()
    assert row.status == "sent"
    assert "•••••" in message["text"]
    assert not TOKEN.search(message["text"] + message["html"] + str(row.context))


@pytest.mark.parametrize("typed", [{"key": "x"}, {"key": ""}, {"order": "NOSUCH"}, {"kind": "nothing"}])
def test_what_cannot_be_sent_is_said(office, typed):
    response = press(office, **typed)

    assert response.status_code in {200, 400}
    assert not EmailMessage.objects.exists()


def test_the_eleventh_is_refused_in_words(office):
    for _ in range(10):
        press(office)
    eleventh = press(office)

    assert "You can send 10 tests an hour." in eleventh.content.decode()
    assert EmailMessage.objects.count() == 10


def test_without_the_right_there_is_no_button_and_no_test(client):
    staff = staff_with(client, ["read"])

    assert "Send a test to me" not in staff.get(page()).content.decode()
    assert press(staff).status_code == 403
    assert not EmailMessage.objects.exists()


def test_previews_need_the_right_to_see_emails(client):
    client.force_login(create_staff(is_superuser=False))

    assert client.get(page()).status_code == 403
