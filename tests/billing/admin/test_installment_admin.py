"""The staff's buttons on an installment, through the browser's requests."""

from datetime import timedelta
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from billing.admin.installment_actions import ACTIONS, is_unknown
from billing.installments import staff_actions
from billing.models import Card, CardAgreement, ChargeAttempt, Installment, Payment
from csf.dates import local_date
from csf.templatetags.csf_format import day
from orders.models import Order
from tests.billing.open_invoices import state_of, with_open_invoice
from tests.factories import create_card, create_order, create_staff
from tests.shop import charge, hear, order_with_plan

ALL = ["charge", "offline", "move", "split", "hold", "waive", "cancel"]
OFFICE = ["hold", "record_offline"]
FINANCE = [*OFFICE, "retry", "move", "waive"]


def staff_with(client, rights):
    user = create_staff(is_superuser=False)
    names = [f"{right}_installment" for right in [*rights, "view"]]
    user.user_permissions.set(Permission.objects.filter(codename__in=[*names, "view_installmentnote"]))
    client.force_login(user)
    client.user = user
    return client


@pytest.fixture
def finance(client, db):
    return staff_with(client, FINANCE)


def page_of(part):
    return reverse("admin:billing_installment_change", args=[part.pk])


def act_on(part, name):
    return reverse("admin:billing_installment_act", args=[part.pk, name])


def buttons_of(client, part):
    html = client.get(page_of(part)).content.decode()
    return [action.name for action in ACTIONS if f'href="{act_on(part, action.name)}"' in html]


def fingerprint_by(client, part, name):
    return client.get(act_on(part, name)).context["facts"].fingerprint


def press(client, part, name, **typed):
    """Open the form, fill it in and send it."""
    data = {"fingerprint": fingerprint_by(client, part, name), "reason": "agreed by phone"} | typed
    return client.post(act_on(part, name), data)


def errors_of(response):
    assert response.status_code == 200
    return {field: list(texts) for field, texts in response.context["form"].errors.items()}


def untouched(part):
    before = Installment.objects.values().get(pk=part.pk)
    part.refresh_from_db()
    assert not part.notes.exists()
    assert Installment.objects.filter(order=part.order).count() == 2
    return before


# --- Which buttons are there --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "shown"),
    [(status, ALL) for status in ("scheduled", "needs_card", "needs_auth", "exhausted")]
    + [(status, []) for status in ("charging", "paid", "cancelled", "waived")],
)
def test_buttons_by_status(shop, finance, status, shown):
    part = order_with_plan(shop)
    Installment.objects.filter(pk=part.pk).update(status=status)

    assert buttons_of(finance, part) == shown


def test_buttons_when_it_waits_for_the_next_try(shop, finance):
    part = with_open_invoice(shop)

    assert buttons_of(finance, part) == ALL
    assert day(part.next_try_on) in finance.get(act_on(part, "charge")).content.decode()


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ("held", ["offline", "move", "split", "unhold", "waive", "cancel"]),
        ("no card", ALL[1:]),
        ("order cancelled", ALL[1:]),
        ("one cent", [name for name in ALL if name != "split"]),
        ("outcome not known", ["charged", "not_charged"]),
        ("order not paid yet", []),
    ],
)
def test_buttons_follow_the_hold_the_card_the_order_and_open_charges(shop, finance, change, shown):
    part = order_with_plan(shop)
    match change:
        case "held":
            Installment.objects.filter(pk=part.pk).update(held_at=timezone.now())
        case "no card":
            Card.objects.update(refused_at=timezone.now())
        case "order cancelled":
            Order.objects.get(pk=part.order_id).end("cancelled", reason="x")
        case "one cent":
            Installment.objects.filter(pk=part.pk).update(amount_cents=99)
        case "outcome not known":
            attempt = ChargeAttempt(installment=part, number=1, kind="auto", status="parked")
            attempt.amount_cents, attempt.currency = part.amount_cents, "usd"
            attempt.save()
        case "order not paid yet":
            part = create_order().installments.get()

    assert buttons_of(finance, part) == shown


def test_a_button_that_is_gone_leads_back_with_a_word(shop, finance):
    part = order_with_plan(shop)
    Installment.objects.filter(pk=part.pk).update(status="paid")

    response = finance.get(act_on(part, "waive"), follow=True)

    assert response.redirect_chain == [(page_of(part), 302)]
    assert "Waive: not possible for this installment now." in response.content.decode()


# --- What each does -----------------------------------------------------------------------------------------


def test_charge_now_names_the_card_and_charges_it(shop, finance):
    part = with_open_invoice(shop)
    form = unescape(finance.get(act_on(part, "charge")).content.decode())
    assert "Charge $72.00 to Visa ending in 4242 now" in form
    assert part.order.household.name in form

    response = press(finance, part, "charge")
    charge()
    hear(shop, "invoice.paid")

    assert (response.status_code, response.url) == (302, page_of(part))
    assert state_of(shop, part) == (
        "paid",
        ["paid"],
        [(7200, "stripe")],
        ["charged now: agreed by phone"],
    )
    page = unescape(finance.get(page_of(part)).content.decode())
    assert "What staff did" in page
    assert "charged now: agreed by phone" in page
    assert part.notes.get().by == finance.user


def test_hold_and_release(shop, finance):
    part = order_with_plan(shop)

    held = finance.post(
        act_on(part, "hold"),
        {"fingerprint": fingerprint_by(finance, part, "hold"), "reason": "promised"},
        follow=True,
    )
    part.refresh_from_db()
    was_held = part.held_at is not None
    assert buttons_of(finance, part) == ["offline", "move", "split", "unhold", "waive", "cancel"]
    press(finance, part, "unhold", reason="promise broken")
    part.refresh_from_db()

    assert "It is on hold." in held.content.decode()
    assert (was_held, part.held_at) == (True, None)
    assert [note.text for note in part.notes.all()] == ["held: promised", "no longer held: promise broken"]


def test_move_the_date(shop, finance):
    part = with_open_invoice(shop)
    to = local_date(timezone.now()) + timedelta(days=60)

    press(finance, part, "move", to=str(to))

    part.refresh_from_db()
    assert (part.status, part.due_on, part.next_try_on) == ("scheduled", to, None)
    assert part.notes.get().text.startswith("moved from ")


def test_split(shop, finance):
    part = order_with_plan(shop)
    second_on = part.due_on + timedelta(days=14)

    answer = press(finance, part, "split", first_cents="30.5", second_on=str(second_on))

    assert answer.url == reverse("admin:orders_order_change", args=[part.order_id])  # shows the new parts
    assert [
        (row.number, row.status, row.due_on, row.amount_cents)
        for row in part.order.installments.filter(number__gte=2)
    ] == [
        (2, "cancelled", part.due_on, 7200),
        (3, "scheduled", part.due_on, 3050),
        (4, "scheduled", second_on, 4150),
    ]


@pytest.mark.parametrize(("name", "status"), [("waive", "waived"), ("cancel", "cancelled")])
def test_waive_and_cancel(shop, finance, name, status):
    part = with_open_invoice(shop)

    press(finance, part, name)

    assert state_of(shop, part) == (status, ["void"], [], [f"{status}: agreed by phone"])


@pytest.mark.parametrize(("method", "days_ago"), [("cash", 0), ("check", 3)])
def test_cash_or_check(shop, finance, method, days_ago):
    part = with_open_invoice(shop)
    received_on = local_date(timezone.now()) - timedelta(days=days_ago)

    press(finance, part, "offline", method=method, received_on=str(received_on))

    assert state_of(shop, part) == (
        "paid",
        ["void"],
        [(7200, method)],
        [f"paid by {method}: agreed by phone"],
    )
    received_at = Payment.objects.get(installment=part).received_at
    assert local_date(received_at) == received_on
    assert received_at <= timezone.now()


# --- What is refused ----------------------------------------------------------------------------------------

TODAY = "today"


@pytest.mark.parametrize(
    ("name", "typed", "field", "text"),
    [
        *[
            (action.name, {"reason": " "}, "reason", "Give a reason")
            for action in ACTIONS
            if action.name not in {"unhold", "charged", "not_charged"}
        ],
        ("waive", {"reason": "x" * 201}, "reason", "at most 200"),
        ("hold", {"reason": "\0"}, "reason", "Null characters"),
        ("move", {}, "to", "required"),
        ("move", {"to": "2026-02-30"}, "to", "valid date"),
        ("move", {"to": "0001-01-01"}, "to", "From "),
        ("move", {"to": "9999-12-31"}, "to", "From "),
        ("split", {"second_on": TODAY}, "first_cents", "required"),
        *[
            ("split", {"first_cents": amount, "second_on": TODAY}, "first_cents", "")
            for amount in ("-1", "0", "0.001", "nan", "1e99", "ten", "9999999")
        ],
        ("split", {"first_cents": "0.10", "second_on": "later"}, "__all__", "at least $0.50"),
        ("split", {"first_cents": "71.60", "second_on": "later"}, "__all__", "at least $0.50"),
        ("split", {"first_cents": "72", "second_on": "later"}, "__all__", "at least $0.50"),
        ("split", {"first_cents": "10", "second_on": TODAY}, "__all__", "due after the first"),
        ("offline", {"method": "", "received_on": TODAY}, "method", "required"),
        ("offline", {"method": "stripe", "received_on": TODAY}, "method", "not one of"),
        ("offline", {"method": "cash", "received_on": "tomorrow"}, "received_on", "From "),
        ("offline", {"method": "cash", "received_on": "1999-01-01"}, "received_on", "From "),
    ],
)
def test_what_is_wrong_is_said_and_nothing_typed_is_lost(shop, finance, name, typed, field, text):
    part = order_with_plan(shop)
    before = untouched(part)
    today = local_date(timezone.now())
    days = {TODAY: today, "tomorrow": today + timedelta(days=1), "later": part.due_on + timedelta(days=1)}
    typed = {key: str(days.get(value, value)) for key, value in typed.items()}

    response = press(finance, part, name, **typed)

    errors = errors_of(response)
    assert text in " ".join(errors[field])
    assert {key: response.context["form"].data[key] for key in typed} == typed
    assert untouched(part) == before


def test_refusal_of_the_act_is_told_at_the_form_with_the_new_facts(shop, finance):
    part = with_open_invoice(shop)
    fingerprint = fingerprint_by(finance, part, "waive")
    shop.pay(f"{shop.server.url}/invoice/{part.stripe_invoice_id}")

    response = finance.post(act_on(part, "waive"), {"fingerprint": fingerprint, "reason": "hardship"})

    html = response.content.decode()
    assert errors_of(response) == {"__all__": ["It was just paid at Stripe, and the payment is recorded."]}
    assert "hardship</textarea>" in html
    assert response.context["facts"].part.status == "paid"
    assert state_of(shop, part) == ("paid", ["paid"], [(7200, "stripe")], [])


# Those for a charge of unknown outcome: tests/billing/installments/test_parked.py.
OF_AN_OPEN_PART = [action.name for action in ACTIONS if action.is_possible is not is_unknown]


@pytest.mark.parametrize("name", OF_AN_OPEN_PART)
def test_pressed_twice_it_is_done_once(shop, finance, name):
    part = order_with_plan(shop)
    if name == "unhold":
        staff_actions.hold(installment=part, by=finance.user, reason="x")
    if name == "charge":  # not before its day
        part.due_on = local_date(timezone.now())
        part.save(update_fields=["due_on"])
    later = str(part.due_on + timedelta(days=30))
    data = {
        "fingerprint": fingerprint_by(finance, part, name),
        "reason": "once",
        "to": later,
        "first_cents": "20",
        "second_on": later,
        "method": "cash",
        "received_on": str(local_date(timezone.now())),
    }

    first = finance.post(act_on(part, name), data)
    rows = list(Installment.objects.filter(order=part.order).values())
    second = finance.post(act_on(part, name), data)
    part.refresh_from_db()
    fresh = data | {"fingerprint": second.context["facts"].fingerprint}  # as if it were opened again
    third = finance.post(act_on(part, name), fresh)

    assert first.status_code == 302
    assert "changed since you opened" in errors_of(second)["__all__"][0]
    assert errors_of(third).keys() == {"__all__"}
    assert list(Installment.objects.filter(order=part.order).values()) == rows
    assert part.notes.filter(text__contains="once").count() == 1
    assert Payment.objects.filter(installment=part).count() == (name == "offline")


def test_a_card_that_changed_meanwhile_is_not_charged_unseen(shop, finance):
    part = order_with_plan(shop)
    fingerprint = fingerprint_by(finance, part, "charge")
    CardAgreement.objects.update(ended_at=timezone.now())
    create_card(part.order, last4="1111")

    response = finance.post(act_on(part, "charge"), {"fingerprint": fingerprint, "reason": "x"})

    assert "has changed since you opened" in errors_of(response)["__all__"][0]
    assert "Charge $72.00 to Visa ending in 1111 now" in response.content.decode()
    assert not ChargeAttempt.objects.on_saved_cards().exists()


# --- Who may ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rights", "allowed"),
    [
        ([], []),
        (OFFICE, ["offline", "hold"]),
        (["move"], ["move", "split"]),
        (["waive"], ["waive", "cancel"]),
        (["retry"], ["charge"]),
    ],
)
def test_only_what_is_allowed_is_shown_and_answered(shop, client, rights, allowed):
    part = order_with_plan(shop)
    before = untouched(part)
    staff = staff_with(client, rights)

    assert buttons_of(staff, part) == allowed
    for action in ACTIONS:
        right = {"unhold": "hold", "charged": "retry", "not_charged": "retry"}.get(action.name)
        is_allowed = action.name in allowed or right in rights
        assert staff.post(act_on(part, action.name)).status_code == (200 if is_allowed else 403), action.name
        assert staff.get(act_on(part, action.name)).status_code in ({200, 302} if is_allowed else {403})
    assert untouched(part) == before


def test_strangers_and_odd_addresses(shop, client, finance):
    part = order_with_plan(shop)
    assert finance.get(act_on(part, "nothing")).status_code == 404
    assert finance.get(reverse("admin:billing_installment_act", args=[10**30, "hold"])).status_code == 404

    client.force_login(part.order.household.guardians.get())
    assert client.post(act_on(part, "waive"), {"reason": "x"}).status_code in {302, 403}
    client.logout()
    assert client.post(act_on(part, "waive"), {"reason": "x"}).status_code == 302
    part.refresh_from_db()
    assert part.status == "scheduled"


# --- The list -----------------------------------------------------------------------------------------------


def test_filters_of_the_list(shop, finance):
    today = local_date(timezone.now())
    fine, overdue, late, exhausted, held, ended = (order_with_plan(shop) for _ in range(6))
    changes = [
        (overdue, {"due_on": today - timedelta(days=2)}),
        (late, {"due_on": today - timedelta(days=4)}),
        (exhausted, {"status": "exhausted"}),
        (held, {"held_at": timezone.now()}),
        (ended, {"status": "exhausted", "due_on": today - timedelta(days=9)}),
    ]
    for part, columns in changes:
        Installment.objects.filter(pk=part.pk).update(**columns)
    Order.objects.get(pk=ended.order_id).end("cancelled", reason="x")

    def listed(concern):
        page = finance.get(reverse("admin:billing_installment_changelist"), {"concern": concern})
        return {row.pk for row in page.context["cl"].queryset}

    assert listed("overdue") == {overdue.pk, late.pk}
    assert listed("held") == {held.pk}
    assert listed("staff") == {late.pk, exhausted.pk}
    assert fine.pk in listed("")
