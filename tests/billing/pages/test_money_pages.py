"""The money pages: what a family sees and pays itself, the link in an email, and another card."""

from datetime import timedelta

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from billing.installments.attempts import run_attempt
from billing.installments.card_updates import settle_setup_intent
from billing.installments.dunning import start_charges
from billing.ledger.signed_links import MAX_AGE, pay_link_path
from billing.models import (
    Card,
    CardUpdate,
    ChargeAttempt,
    Consent,
    Installment,
    InstallmentStatus,
    Payment,
    PaymentPlan,
)
from csf.dates import local_date
from enrollments.models import Child, User
from notifications.models import EmailMessage
from orders.models import Order
from tests.factories import create_cart, create_course, create_household
from tests.pages import parent_of, queries, without_tokens, words
from tests.shop import change_card, hear

OTHER_CARD = "4000000000007726"
AWAY = "is not responding right now. Nothing is lost"


def order_with_plan(shop, household=None):
    """Placed on the checkout page with two parts, and the first paid; returns the second."""
    plan, _ = PaymentPlan.objects.get_or_create(name="In 2 monthly payments", parts=2)
    order = create_cart(household=household, courses=[create_course(price_cents=14401)])
    page = parent_of(order.household).post(
        "/checkout/", {"order": order.public_id, "total": 14401, "plan": plan.pk}
    )
    shop.pay(page.url)
    hear(shop, "payment_intent.succeeded")
    return order.installments.get(number=2)


def pay_url(installment):
    return f"/account/installments/{installment.public_id}/pay/"


def move(installment, status, days_late=0, **columns):
    """As jobs and time would leave it."""
    due_on = local_date(timezone.now()) - timedelta(days=days_late)
    Installment.objects.filter(pk=installment.pk).update(status=status, due_on=due_on, **columns)


def invoices(shop, installment):
    return shop.server.books()["invoices"].get(str(installment.public_id), [])


def charged(shop):
    return [row["amount_cents"] for row in shop.server.books()["charges"] if row["succeeded"]]


# --- Account and order --------------------------------------------------------------------------------------


def test_a_family_pays_in_parts_and_the_second_early(shop):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)

    page = words(client.get("/account/"))
    assert "Due now $0.00 Total balance $72.01" in page
    assert "Upcoming" in page
    assert "Visa ending in 4242" in page
    assert "Paid (1)" in page

    answer = client.post(pay_url(installment))
    assert answer.url.startswith(f"{shop.server.url}/pay/")
    shop.pay(answer.url)
    hear(shop, "payment_intent.succeeded")

    installment.refresh_from_db()
    assert installment.status == "paid"
    assert not ChargeAttempt.objects.on_saved_cards().exists()
    assert charged(shop) == [7200, 7201]
    assert EmailMessage.objects.filter(kind="payment_success").count() == 2
    page = words(client.get("/account/"))
    assert "You have nothing to pay." in page
    assert "Paid (2)" in page


def test_the_order_page_shows_the_schedule_and_what_was_agreed(shop):
    installment = order_with_plan(shop)

    page = parent_of(installment.order.household).get(installment.order.get_absolute_url())

    assert Consent.objects.get().text in words(page)
    assert f'action="{pay_url(installment)}"' in page.text
    assert page.text.count('class="badge paid"') == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ("scheduled", "Overdue Please pay now."),
        ("needs_card", "Needs another card Your card could not be charged."),
        ("needs_auth", "Needs your confirmation Your bank wants you to confirm"),
        ("exhausted", "Could not be charged We could not charge your card."),
        ("retry_wait", "Overdue We will charge your card on"),
    ],
)
def test_every_open_state_is_told_in_words_and_can_be_paid(shop, status, says):
    installment = order_with_plan(shop)
    wait = {"next_try_on": timezone.localdate() + timedelta(days=2)} if status == "retry_wait" else {}
    move(installment, status, days_late=4, **wait)
    client = parent_of(installment.order.household)

    page = client.get("/account/")
    assert says in words(page)
    assert "Due now $72.01 Total balance $72.01" in words(page)
    assert "badge overdue" in page.text
    shop.pay(client.post(pay_url(installment)).url)
    hear(shop, "payment_intent.succeeded")

    installment.refresh_from_db()
    assert installment.status == "paid"


def test_while_the_card_is_charged_nothing_else_can_pay(shop):
    installment = order_with_plan(shop)
    start_charges([InstallmentStatus.SCHEDULED], on=installment.due_on)
    client = parent_of(installment.order.household)

    answer = client.post(pay_url(installment), follow=True)

    assert words(answer).count("Your card is being charged right now.") == 2
    assert pay_url(installment) not in answer.text
    assert invoices(shop, installment) == []


def test_pressing_twice_makes_one_page(shop):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)

    first, second = (client.post(pay_url(installment)).url for _ in range(2))

    assert first == second
    assert installment.attempts.count() == 1


def test_paid_before_the_event_came_is_recorded_at_the_next_press(shop):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)
    shop.pay(client.post(pay_url(installment)).url)

    answer = client.post(pay_url(installment), follow=True)
    hear(shop, "payment_intent.succeeded")

    assert "This installment is paid. Thank you!" in words(answer)
    assert Payment.objects.filter(installment=installment).count() == 1
    assert charged(shop) == [7200, 7201]


@pytest.mark.parametrize("kind", ["error_before", "error_after", "drop_after"])
def test_while_stripe_is_away_nothing_is_lost(shop, kind):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)
    fault = {"path": "/v1/checkout/sessions", "method": "POST", "kind": kind, "stored": False}
    shop.server.control("POST", "/_faults", [fault])

    assert AWAY in words(client.post(pay_url(installment), follow=True))
    shop.server.control("DELETE", "/_faults")
    shop.pay(client.post(pay_url(installment)).url)
    hear(shop, "payment_intent.succeeded")

    assert Installment.objects.get(pk=installment.pk).status == "paid"
    assert charged(shop) == [7200, 7201]


def test_a_foreign_installment_is_answered_like_a_random_one(shop):
    installment = order_with_plan(shop)
    stranger = parent_of(create_household())
    random = pay_url(Installment(order=installment.order))

    for method in (stranger.get, stranger.post):
        foreign, unknown = method(pay_url(installment)), method(random)
        assert foreign.status_code == unknown.status_code == (405 if method == stranger.get else 404)
        assert without_tokens(foreign) == without_tokens(unknown)
    assert invoices(shop, installment) == []


def test_the_pages_take_the_same_queries_for_1_and_3_plans(shop):
    first = order_with_plan(shop)
    client = parent_of(first.order.household)
    pages = ["/account/", "/account/card/", first.order.get_absolute_url()]
    one = [queries(client, page) for page in pages]

    for _ in range(2):
        order_with_plan(shop, household=first.order.household)

    assert [queries(client, page) for page in pages] == one
    assert max(one) <= 12


# --- The link in a mail -------------------------------------------------------------------------------------


def test_the_link_pays_in_two_taps_without_a_login(shop):
    installment = order_with_plan(shop)
    link, visitor = pay_link_path(installment), Client(enforce_csrf_checks=True)

    page = visitor.get(link)
    assert "Amount $72.01" in words(page)
    token = visitor.cookies["csrftoken"].value
    answer = visitor.post(link, {"csrfmiddlewaretoken": token})
    shop.pay(answer.url)
    hear(shop, "payment_intent.succeeded")

    assert "This installment is paid. Thank you!" in words(visitor.get(link))
    assert "Pay $72.01" not in words(visitor.get(link))
    assert visitor.post(link, {"csrfmiddlewaretoken": token}, follow=True).status_code == 200
    assert charged(shop) == [7200, 7201]


def test_the_link_shows_nothing_else_of_the_family(shop, client):
    installment = order_with_plan(shop)
    household = installment.order.household
    order_with_plan(shop, household=household)
    household.__class__.objects.filter(pk=household.pk).update(name="Zanzibar")
    User.objects.filter(household=household).update(
        first_name="Zanzibar", last_name="Zanzibar", email="zanzibar@example.org"
    )
    Child.objects.filter(household=household).update(first_name="Lina", last_name="Zanzibar")

    page = client.get(pay_link_path(installment))

    assert "Lina in" in words(page)
    for secret in ["zanzibar", "4242", "$72.00", "$144.01", installment.order.number.lower()]:
        assert secret not in page.text.lower()
    assert "no-store" in page.headers["Cache-Control"]


@pytest.mark.django_db
def test_a_bad_link_gets_a_friendly_page(shop, client, monkeypatch):
    installment = order_with_plan(shop)
    link = pay_link_path(installment)
    token = link.split("/")[2]
    bad = [f"{token}x", token[1:], "x", signing.dumps(str(installment.public_id)), token.split(":")[0]]

    answers = [method(f"/pay/{text}/") for text in bad for method in (client.get, client.post)]
    monkeypatch.setattr(
        signing.time, "time", lambda: timezone.now().timestamp() + MAX_AGE.total_seconds() + 9
    )
    answers.append(client.get(link))

    for answer in answers:
        assert answer.status_code == 404
        assert "This link no longer works" in words(answer)
    assert invoices(shop, installment) == []


def test_each_link_opens_its_own_installment(shop, client):
    one = order_with_plan(shop)
    other = order_with_plan(shop)
    move(other, "scheduled", amount_cents=5500)

    assert "Amount $72.01" in words(client.get(pay_link_path(one)))
    assert "Amount $55.00" in words(client.get(pay_link_path(other)))


@pytest.mark.parametrize(
    ("installment_status", "order_status", "says"),
    [
        ("cancelled", "confirmed", "You do not need to pay this."),
        ("waived", "confirmed", "You do not need to pay this."),
        ("scheduled", "cancelled", "The order is closed."),
        ("scheduled", "completed", "The order is closed."),
        ("charging", "confirmed", "Your card is being charged right now."),
    ],
)
def test_the_link_says_why_there_is_nothing_to_pay(shop, client, installment_status, order_status, says):
    installment = order_with_plan(shop)
    Installment.objects.filter(pk=installment.pk).update(status=installment_status)
    Order.objects.filter(pk=installment.order_id).update(status=order_status)

    assert says in words(client.get(pay_link_path(installment)))
    answer = client.post(pay_link_path(installment), follow=True)

    assert says in words(answer)
    assert "Pay $72.01" not in words(answer)
    assert invoices(shop, installment) == []


def test_while_stripe_is_away_the_link_says_so(shop, client):
    installment = order_with_plan(shop)
    shop.server.control("POST", "/_faults", [{"path": "/v1/*", "kind": "error_before"}])

    answer = client.post(pay_link_path(installment), follow=True)

    assert AWAY in words(answer)
    assert "Pay $72.01" in words(answer)


# --- Another card -------------------------------------------------------------------------------------------


def work_off():
    for attempt in ChargeAttempt.objects.on_saved_cards().waiting():
        run_attempt(attempt.pk)


def test_a_new_card_pays_what_comes_next_and_the_old_one_never_again(shop):
    installment = order_with_plan(shop)
    household = installment.order.household

    change_card(shop, household)

    assert charged(shop) == [7200]
    page = words(parent_of(household).get("/account/"))
    assert "Visa ending in 7726" in page
    assert "4242" not in page.partition("Paid (")[0]
    start_charges([InstallmentStatus.SCHEDULED], on=installment.due_on)
    work_off()
    attempt = ChargeAttempt.objects.on_saved_cards().get()
    assert (attempt.status, attempt.card.last4) == ("succeeded", "7726")


def test_an_attempt_on_the_old_card_is_not_carried_out_after_the_change(shop):
    installment = order_with_plan(shop)
    start_charges([InstallmentStatus.SCHEDULED], on=installment.due_on)

    change_card(shop, installment.order.household)
    work_off()

    assert ChargeAttempt.objects.on_saved_cards().get().status == "not_executed"
    assert charged(shop) == [7200]


@pytest.mark.parametrize(
    ("ticked", "attempts", "status"),
    [({"charge_now": "on"}, ["parent"], "paid"), ({}, [], "retry_wait")],
)
def test_what_is_overdue_is_charged_at_once_only_if_that_was_ticked(shop, ticked, attempts, status):
    installment = order_with_plan(shop)
    move(installment, "needs_card", days_late=2)
    later = installment.order.installments.create(
        number=3, due_on=timezone.localdate() + timedelta(days=30), amount_cents=1500
    )

    change_card(shop, installment.order.household, **ticked)
    work_off()
    hear(shop, "setup_intent.succeeded")
    [event] = shop.events("setup_intent.succeeded")
    method = {"id": Card.objects.get(replaced_at=None).stripe_payment_method_id}
    settle_setup_intent(event["data"]["object"] | {"payment_method": method})
    work_off()

    installment.refresh_from_db()
    later.refresh_from_db()
    assert [attempt.kind for attempt in ChargeAttempt.objects.on_saved_cards()] == attempts
    assert (installment.status, later.status) == (status, "scheduled")
    assert CardUpdate.objects.get().finished_at is not None


def test_what_staff_hold_is_not_charged_by_a_tick(shop):
    installment = order_with_plan(shop)
    move(installment, "needs_card", days_late=2, held_at=timezone.now())

    change_card(shop, installment.order.household, charge_now="on")

    assert not ChargeAttempt.objects.on_saved_cards().exists()


def test_the_page_says_what_will_be_charged_and_the_box_is_not_ticked(shop):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)
    assert "charge_now" not in client.get("/account/card/").text
    move(installment, "needs_auth", days_late=2)

    page = client.get("/account/card/")

    assert f"$72.01 Order {installment.order.number}. Not charged automatically" in words(page)
    assert "Charge what is overdue now: $72.01 as soon as the card is saved" in words(page)
    assert '<input type="checkbox" name="charge_now">' in page.text


def test_a_card_that_is_refused_or_near_its_end_says_so(shop):
    client = parent_of(order_with_plan(shop).order.household)
    today = timezone.localdate()

    assert "Expires soon" not in words(client.get("/account/"))
    Card.objects.update(exp_year=today.year, exp_month=today.month)
    assert "Expires soon" in words(client.get("/account/"))
    Card.objects.update(exp_year=today.year - 1)
    assert "Expired" in words(client.get("/account/"))
    Card.objects.update(refused_at=timezone.now())
    assert "Refused" in words(client.get("/account/"))


def test_without_an_answer_no_card_is_changed_and_the_page_says_so(shop):
    household = order_with_plan(shop).order.household
    client = parent_of(household)
    shop.server.control("POST", "/_faults", [{"path": "/v1/checkout/*", "kind": "error_before"}])

    answer = client.post("/account/card/", follow=True)

    assert AWAY in words(answer)
    assert CardUpdate.objects.get().stripe_session_id is None
    shop.server.control("DELETE", "/_faults")
    change_card(shop, household)
    assert Card.objects.get(replaced_at=None).last4 == "7726"


def test_until_the_card_is_here_the_account_says_that_it_is_being_saved(shop):
    installment = order_with_plan(shop)
    client = parent_of(installment.order.household)
    client.post("/account/card/")  # and turned back
    came_back = "/account/?" + shop.pay(client.post("/account/card/").url, OTHER_CARD).partition("?")[2]

    assert "Your new card is being saved." in words(client.get(came_back))
    hear(shop, "setup_intent.succeeded")
    assert "Your new card is saved." in words(client.get(came_back))
    assert "Your new card" not in words(client.get("/account/?saved=1"))
