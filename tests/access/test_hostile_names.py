"""One family with names as bad as the forms let through: on every page, in every email and for the staff."""

import itertools
import re
from email.utils import parseaddr
from html import unescape

import pytest
import requests
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from enrollments.models import Child, EmergencyContact, Household, User
from notifications.facts.links import preferences_path
from notifications.models import EmailMessage
from notifications.sending.drain import drain
from orders.models import Order
from tests.factories import create_course, create_staff
from tests.pages import parent_of
from tests.shop import Shop, accept, hear

pytestmark = pytest.mark.django_db

SCRIPT = "<script>alert(1)</script>"
ATTRIBUTE = 'A"><img src=x onerror=alert(2)>'
TEMPLATE = "{{ 7|add:7 }}{% now 'Y' %}A"
SHOUTS = [SCRIPT, ATTRIBUTE, "<b>Tom</b> & 'Ann' &amp; \"Zoë\"", TEMPLATE]
STRANGE = ["שרה בת־עמי", "N" * 60, "Zoë 👩‍👧 🤸", "مريم", "Ana, Jr.; <a@b.c>", "O'Neil@example.org"]
LINES = "Ana\r\nBcc: all@example.org\r\n\r\n<p>Hi"
OVERRIDE = "Noah\u202etxt.exe"
PASSWORD = "correct-horse-7"
# How a browser would meet the names if they were not escaped, or were escaped twice.
RAW = ["<script>alert", "<img src=x", "<b>Tom", "<a@b.c>", "<p>Hi"]
TWICE = ["&amp;lt;", "&amp;quot;", "&amp;#x27;", "&amp;amp;amp;"]


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def shop(stripe_server):
    accept()
    return Shop(stripe_server)


def code_from(mail_server):
    return re.search(r"\b\d{6}\b", mail_server.messages(kind="account_confirm_email")[0]["text"])[0]


def sign_up(mail_server, *, first_name, last_name):
    """Through the form, the email and its code."""
    client = Client()
    new = {"first_name": first_name, "last_name": last_name, "email": "maria@example.org"}
    assert client.post("/account/signup/", new | {"password1": PASSWORD}).status_code == 302
    drain()
    client.post("/account/confirm-email/", {"code": code_from(mail_server)})
    assert "_auth_user_id" in client.session
    return client


def add_child(client, *, first_name, last_name, contact):
    sent = {"first_name": first_name, "last_name": last_name, "born_on": "2018-05-31"}
    sent |= {"contacts-TOTAL_FORMS": "3", "contacts-INITIAL_FORMS": "0", "contacts-0-name": contact}
    sent |= {"contacts-0-phone": f"555 010 0123 {SCRIPT[:8]}", "contacts-0-relationship": contact[:60]}
    answer = client.post("/account/children/add/", sent)
    assert answer.status_code == 302, answer.context["form"].errors


def buy(client, shop, *courses):
    """All children into each class, and paid."""
    household = Household.objects.get()
    for course, child in itertools.product(courses, household.children.all()):
        answer = client.post(course.get_absolute_url(), {"child": str(child.public_id)})
        assert answer.headers.get("Location") == "/cart/", answer.text
    yield client.get("/cart/")
    yield client.get("/checkout/")
    order = household.orders.carts().get()
    page = client.post("/checkout/", {"order": str(order.public_id)})
    assert page.url.startswith(shop.server.url), page.url
    shown = requests.get(page.url, timeout=60)
    assert_shown_as_text(shown.text)
    yield client.get(order.get_absolute_url())
    shop.pay(page.url)
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    order.refresh_from_db()
    assert order.status == "confirmed"


def assert_shown_as_text(html, *names):
    frames = [unescape(frame) for frame in re.findall(r'srcdoc="([^"]*)"', html)]
    for part in [re.sub(r'srcdoc="[^"]*"', "", html), *frames]:  # a page in an attribute is escaped once more
        for raw in [*RAW, *TWICE]:
            assert raw not in part, part[max(0, part.find(raw) - 200) :][:400]
    for name in names:
        assert name in unescape(html), name


def parents_pages(client):
    order = Order.objects.exclude(status="draft").get()
    child = order.household.children.first()
    enrollment = order.items.first().enrollment
    for url in [
        "/",
        "/cart/",
        "/account/",
        "/account/children/",
        "/account/children/add/",
        "/account/email/",
        "/account/emails/",
        "/account/emails/invite/",
        preferences_path(order.household.guardians.order_by("pk")[0]),
        f"/account/children/{child.public_id}/",
        order.get_absolute_url(),
        f"/account/enrollments/{enrollment.public_id}/cancel/",
        order.items.first().course.get_absolute_url(),
    ]:
        answer = client.get(url, follow=True)
        assert answer.status_code == 200, url
        yield answer


def staff_pages():
    staff = Client()
    staff.force_login(create_staff())
    order, household = Order.objects.exclude(status="draft").get(), Household.objects.get()
    rows = [household, order, *household.guardians.all(), *household.children.all(), *order.items.all()]
    rows += [order.items.first().enrollment, order.items.first().course, *EmailMessage.objects.all()]
    urls = {
        reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]) for row in rows
    }
    urls |= {reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_changelist") for row in rows}
    urls |= {reverse("admin:index"), f"{reverse('admin:search')}?s=alert", f"{reverse('admin:search')}?s=NNN"}
    for url in sorted(urls):
        answer = staff.get(url)
        assert answer.status_code == 200, url
        yield url, answer


def assert_mails_are_clean(mail_server, *, names):
    seen = ""
    for message in mail_server.messages():
        for head in [message["subject"], *message["to"], *map(str, message["headers"].values())]:
            assert head == " ".join(head.splitlines())
            assert len(head) <= 400
        assert not {"bcc", "cc"} & {name.lower() for name in message["headers"]}
        assert [parseaddr(to)[1] or to for to in message["to"]] == ["maria@example.org"]
        assert_shown_as_text(re.sub(r"<(!--|style).*?(--|/style)>", "", message["html"], flags=re.DOTALL))
        for entity in ("&lt;", "&gt;", "&quot;", "&#x27;", "&amp;amp;"):
            assert entity not in message["text"]
            assert entity not in message["subject"]
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", message["text"] + message["subject"])
        assert "14" + "2026" not in message["text"]
        seen += message["text"]
    for name in names:
        assert name in seen, name
    return seen


CHOICES = [
    pytest.param(SCRIPT, ATTRIBUTE, SCRIPT, ATTRIBUTE, SCRIPT, id="markup"),
    pytest.param(TEMPLATE, SHOUTS[2], SHOUTS[2], TEMPLATE, SHOUTS[2], id="template"),
    pytest.param(STRANGE[0], STRANGE[2], STRANGE[3], STRANGE[1], STRANGE[0], id="scripts"),
    pytest.param(STRANGE[4], STRANGE[5], STRANGE[4], STRANGE[1], STRANGE[5], id="addresses"),
]


@pytest.mark.parametrize(("first", "last", "child", "child_last", "contact"), CHOICES)
def test_names_are_only_text_wherever_they_come_up(
    shop, mail_server, first, last, child, child_last, contact
):
    client = sign_up(mail_server, first_name=first, last_name=last)
    add_child(client, first_name=child, last_name=child_last, contact=contact)
    add_child(client, first_name=LINES, last_name=OVERRIDE, contact=contact)

    for page in buy(client, shop, create_course(), create_course()):
        assert_shown_as_text(page.text, child)
    drain()

    assert {message.status for message in EmailMessage.objects.all()} == {"sent"}
    assert {row.kind for row in EmailMessage.objects.all()} >= {
        "welcome",
        "order_confirmation",
        "payment_success",
        "enrollment_confirmation",
    }
    assert_mails_are_clean(mail_server, names=[child, "Ana Bcc: all@example.org <p>Hi"])
    pages = list(parents_pages(client))
    for page in pages:
        assert_shown_as_text(page.text)
    assert sum(child in unescape(page.text) for page in pages) >= 4
    shown = 0
    for _, page in staff_pages():
        assert_shown_as_text(page.text)
        shown += child in unescape(page.text)
    assert shown >= 3
    [kept, other] = Child.objects.order_by("pk")
    assert (kept.first_name, kept.last_name) == (child, child_last)
    assert (other.first_name, other.last_name) == ("Ana Bcc: all@example.org <p>Hi", "Noahtxt.exe")
    assert User.objects.get(email="maria@example.org").household.name == f"{last} family"
    assert EmergencyContact.objects.filter(name=contact).count() == 2


def test_names_that_no_form_let_in_cannot_break_an_email_either(shop, mail_server):
    """As an import or a script may leave them: line breaks, controls, marks that turn the text around."""
    client = sign_up(mail_server, first_name="Maria", last_name="Lopez")
    add_child(client, first_name="Ada", last_name="Lopez", contact="Gran")
    User.objects.filter(email="maria@example.org").update(first_name=LINES, last_name=OVERRIDE + "\x07")
    Household.objects.update(name=LINES + OVERRIDE)
    Child.objects.update(first_name=LINES, last_name="\u2066" + OVERRIDE)
    course = create_course(title="Dance\r\nBcc: x@y.z\n" + SCRIPT, description=SCRIPT)

    for page in buy(parent_of(Household.objects.get()), shop, course):
        assert_shown_as_text(page.text)
    drain()

    assert {message.status for message in EmailMessage.objects.all()} == {"sent"}
    seen = assert_mails_are_clean(mail_server, names=["Dance Bcc: x@y.z <script>alert(1)</script>"])
    assert "\nBcc:" not in seen
    for page in parents_pages(parent_of(Household.objects.get())):
        assert_shown_as_text(page.text)
    for _, page in staff_pages():
        assert_shown_as_text(page.text)
