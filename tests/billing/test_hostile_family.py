"""One family whose names are code, emoji, right-to-left text and line breaks, from sign-up to the receipt."""

import re
from html.parser import HTMLParser

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from billing.models import ChargeAttempt
from enrollments.models import Child, Course, Enrollment, Household, User
from notifications.drain import drain
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_course, create_staff
from tests.shop import hear, outcome

PASSWORD = "correct-horse-7"
EMAIL = "o'hara+kids@example.org"
# What is typed, and what is kept of it: one line, no marks that turn the text after them.
TYPED = {
    "<script>alert(1)</script>": "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>': '"><img src=x onerror=alert(2)>',
    "Zoë 👩‍👧 {{ 7|add:7 }} {% now 'Y' %}": "Zoë 👩‍👧 {{ 7|add:7 }} {% now 'Y' %}",
    "שרה": "שרה",
    "\u202eNoah\r\nBcc: all@example.org": "Noah Bcc: all@example.org",
    "Ann, <b@example.org>; c": "Ann, <b@example.org>; c",
    "=HYPERLINK(1)": "=HYPERLINK(1)",
}
TITLE = "Swim <script>alert(3)</script> שחייה 🏊 & co"


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser reads the page, but for what our templates hold."""

    def __init__(self, page):
        super().__init__()
        self.found, self.inside, self.scripts = [], None, []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        self.inside = tag if tag == "script" else None

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts.append(data)


def assert_harmless(page):
    """No tag of theirs became a tag, no attribute an event handler, no template code was run."""
    tags = Tags(page)
    assert not [text for text in tags.scripts if "alert" in text]
    assert not [found for found in tags.found if any(runs_code(*pair) for pair in found[1].items())]
    assert "Zoë 👩‍👧 14" not in page
    assert "\u202e" not in page


def runs_code(name, value):
    return name.startswith("on") or (name == "src" and value == "x") or str(value).startswith("javascript:")


def code_of(kind):
    return EmailMessage.objects.filter(kind=kind).latest("pk").facts["code"]


def sign_up(name):
    client = Client()
    person = {"first_name": name, "last_name": name, "email": EMAIL, "password1": PASSWORD}
    assert client.post("/account/signup/", person)["Location"] == "/account/confirm-email/"
    client.post("/account/confirm-email/", {"code": code_of("account_confirm_email")})
    return client


def add_child(client, name):
    sent = {"first_name": name, "last_name": name, "born_on": "2018-05-31"}
    sent |= {"contacts-TOTAL_FORMS": "3", "contacts-INITIAL_FORMS": "0"}
    sent |= {
        "contacts-0-name": name,
        "contacts-0-phone": "(555) 010-0123\r\n",
        "contacts-0-relationship": name,
    }
    assert client.post("/account/children/add/", sent).status_code == 302
    return Child.objects.get()


@pytest.mark.parametrize(
    "typed", TYPED, ids=["script", "image", "emoji", "hebrew", "lines", "address", "formula"]
)
def test_a_family_with_hostile_names_from_sign_up_to_receipt(shop, mail_server, typed):
    cache.clear()
    kept = TYPED[typed]
    course = create_course(sessions=3, capacity=2, title=TITLE, description=f"{TITLE}\n" * 3)
    client = sign_up(typed)
    child = add_child(client, typed)
    user, household = User.objects.get(), Household.objects.get()
    assert (user.first_name, child.first_name, household.name) == (kept, kept, f"{kept} family")
    assert child.emergency_contacts.get().name == kept

    pages = [client.get(url) for url in ("/", course.get_absolute_url(), "/account/children/")]
    client.post(course.get_absolute_url(), {"child": str(child.public_id)})
    pages += [client.get("/cart/"), client.get("/checkout/")]
    order = Order.objects.get()
    to_stripe = client.post("/checkout/", {"order": str(order.public_id), "total": str(course.price_cents)})
    shop.pay(to_stripe.url)
    hear(shop, "payment_intent.succeeded", "checkout.session.completed")
    drain()  # before the order is cancelled: then nobody is told of it any more
    enrollment = Enrollment.objects.get()
    pages += [
        client.get(url)
        for url in (
            "/account/",
            order.get_absolute_url(),
            f"/account/children/{child.public_id}/",
            reverse("cancel_enrollment", args=[enrollment.public_id]),
        )
    ]
    client.post(reverse("cancel_enrollment", args=[enrollment.public_id]), {"reason": f"{typed}\n{typed}"})
    pages.append(client.get(order.get_absolute_url()))
    drain()

    assert {page.status_code for page in pages} == {200}
    for page in pages:
        assert_harmless(page.text)
    result = outcome(order)
    assert (result["order"], result["attempts"], result["tasks"]) == ("cancelled", ["succeeded"], [])
    assert_the_mail_is_clean(mail_server, kept)
    assert_staff_pages_are_clean(user, household, child, order)


def test_the_check_sees_code():
    pages = ["<p onclick=alert(1)>", "<img src=x>", "<script>alert(1)</script>", "<a href='javascript:x'>"]
    for page in pages:
        with pytest.raises(AssertionError):
            assert_harmless(page)


def assert_the_mail_is_clean(mail_server, kept):
    sent = mail_server.messages()
    assert sorted(mail["kind"] for mail in sent) == [
        "account_confirm_email",
        "cancellation_confirmation",
        "enrollment_confirmation",
        "order_confirmation",
        "payment_success",
        "welcome",
    ]
    assert set(EmailMessage.objects.values_list("status", flat=True)) == {"sent"}
    for mail in sent:
        assert mail["to"] == [EMAIL]
        assert not mail.get("cc")
        assert not mail.get("bcc")
        assert "\n" not in mail["subject"]
        assert not re.search(r"[\r\n]", "".join(mail["headers"].values()))
        assert not re.search(r"^Bcc:", mail["text"], re.MULTILINE)
        assert "Zoë 👩‍👧 14" not in mail["text"]
        assert_harmless(mail["html"])
    placed = next(mail for mail in sent if mail["kind"] == "order_confirmation")
    assert kept in " ".join(placed["text"].split())
    assert TITLE in " ".join(placed["text"].split())
    stored = EmailMessage.objects.get(kind="order_confirmation")
    assert (stored.subject, stored.html) == (placed["subject"], placed["html"])


def assert_staff_pages_are_clean(user, household, child, order):
    staff = Client()
    staff.force_login(create_staff())
    rows = [user, household, child, order, Course.objects.get(), ChargeAttempt.objects.get()]
    rows += list(EmailMessage.objects.all()) + list(Enrollment.objects.all()) + list(order.payments.all())
    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        for url in (reverse(f"{name}_changelist"), reverse(f"{name}_change", args=[row.pk])):
            page = staff.get(url)
            assert page.status_code == 200, url
            tags = Tags(page.text)
            assert not [text for text in tags.scripts if "alert(" in text], url
            assert not [
                found for found in tags.found if "onerror" in found[1] or found[1].get("src") == "x"
            ], url
    assert staff.get("/admin/").status_code == 200
