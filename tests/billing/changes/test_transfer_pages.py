"""The pages of a move to another class: what staff choose and confirm, and what the family sees."""

import re
from html import unescape

from django.urls import reverse

from billing.models import Transfer
from csf.staff.actions import CHANGED
from notifications.models import EmailMessage
from tests.billing.changes.moved_child import AGREED, enrolled, move, to
from tests.factories import create_household, create_staff
from tests.pages import parent_of, words
from tests.staff_forms import page_of


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", page.text)).split())


def fingerprint_on(page):
    return unescape(re.search(r'name="fingerprint" value="([^"]*)"', page.text).group(1))


def test_staff_choose_look_and_confirm(shop, client):
    old = enrolled(shop, parts=2)
    new, other = to(15000), to(15000, age_min=11)
    client.force_login(create_staff())

    page = client.get(reverse("admin:enrollments_enrollment_change", args=[old.pk]))
    choose = page_of(old, "move", "transfer")
    assert choose in page.text
    listed = client.get(choose)
    confirm = f"{choose}?course={new.pk}"
    assert confirm in listed.text
    assert other.title not in listed.text
    shown = client.get(confirm)
    said = text_of(shown)
    assert "$30.00 more" in said
    assert "4242 is charged $30.00 right away" in said

    stale = client.post(confirm, {"fingerprint": "old", "reason": "asked", "consent": AGREED})
    assert CHANGED in stale.text
    assert "Give a reason" in client.post(confirm, {"fingerprint": fingerprint_on(shown), "reason": " "}).text
    assert not Transfer.objects.exists()
    done = client.post(
        confirm, {"fingerprint": fingerprint_on(shown), "reason": "asked", "consent": AGREED}, follow=True
    )

    assert f"is now in {new.title}" in text_of(done)
    row = Transfer.objects.get()
    assert (row.consent, row.reason, row.installment.attempts.count()) == (AGREED, "asked", 1)
    assert "Transfers" in done.text
    assert choose not in done.text
    order_page = client.get(reverse("admin:orders_order_change", args=[row.order_id]))
    assert "Transfers" in order_page.text
    assert client.get(choose).status_code == 302


def test_who_may_not_move_children_sees_no_button_and_no_page(shop, client):
    old = enrolled(shop)
    client.force_login(create_staff(is_superuser=False))

    for chosen in ({}, {"course": to(9000).pk}):
        assert client.get(page_of(old, "move", "transfer"), chosen).status_code == 403


def test_staff_give_and_take_back_credit(shop, client):
    family = create_household()
    client.force_login(create_staff())
    page = client.get(reverse("admin:enrollments_household_change", args=[family.pk]))
    give = reverse("admin:enrollments_household_act", args=[family.pk, "give-credit"])
    take = reverse("admin:enrollments_household_act", args=[family.pk, "take-back-credit"])
    assert give in page.text
    assert take not in page.text

    client.post(
        give,
        {"fingerprint": fingerprint_on(client.get(give)), "cents": "45.00", "reason": "the pool was cold"},
    )
    form = client.get(take)
    refused = client.post(
        take, {"fingerprint": fingerprint_on(form), "cents": "45.01", "reason": "a mistake"}
    )
    assert "The family has only $45.00 left." in refused.text
    client.post(take, {"fingerprint": fingerprint_on(form), "cents": "15", "reason": "a mistake"})

    lines = [(row.cause, row.amount_cents, row.reason) for row in family.credits.order_by("pk")]
    assert lines == [("granted", 4500, "the pool was cold"), ("taken_back", -1500, "a mistake")]
    mail = EmailMessage.objects.get(kind="credit_added").context
    assert (mail["amount_cents"], mail["reason"], mail["balance_cents"]) == (4500, "the pool was cold", 4500)
    page = client.get(reverse("admin:enrollments_household_change", args=[family.pk]))
    assert "Credit: $30.00" in page.text


def test_the_family_sees_where_its_child_is_now(shop):
    old = enrolled(shop, parts=2)
    done = move(old, to(15000))
    client = parent_of(done.order.household)

    order = words(client.get(done.order.get_absolute_url()))
    account = words(client.get(reverse("account")))
    children = words(client.get(reverse("children")))

    new = done.joined.course.title
    assert "Total $120.00" in order
    assert f"Moved to {new}" in order
    assert "To pay: $30.00" in order
    assert order.count("Cancel this class") == 1
    assert new in account
    assert old.course.title not in account
    assert new in children
    assert old.course.title not in children
