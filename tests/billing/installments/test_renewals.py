"""What happens to saved cards at Stripe without us, in the order and as late as it may be reported."""

import datetime
from datetime import timedelta

import requests
import time_machine
from django.conf import settings
from django.utils import timezone

from billing.installments.dunning import start_charges
from billing.models import Card, CardAgreement, ChargeAttempt
from csf.models import StaffTask
from csf.proofs.invariants import violations
from notifications.models import EmailMessage
from tests.pages import parent_of, words
from tests.shop import DUE, RETRY, change_card, charge, hear, order_with_plan, script
from tests.stripe_events import deliver, work_off_inbox


def api(shop, method, path, **data):
    answer = requests.request(
        method,
        f"{shop.server.url}{path}",
        data=data,
        headers={"Authorization": f"Bearer {settings.STRIPE_SECRET_KEY}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def card_of(installment):
    return Card.objects.get(household=installment.order.household, replaced_at=None)


def detach(shop, card):
    api(shop, "POST", f"/v1/payment_methods/{card.stripe_payment_method_id}/detach")


def renew(shop, card, **changes):
    shop.server.control("POST", f"/_cards/{card.stripe_payment_method_id}/update", changes)


def days_from_due(installment, days=30):
    """Both daily jobs, for so many days from its due date on."""
    for n in range(days):
        day = installment.due_on + timedelta(days=n)
        with time_machine.travel(datetime.datetime.combine(day, datetime.time(15), datetime.UTC)):
            start_charges(DUE, on=day)
            start_charges(RETRY, on=day)
            # The database's clock stays; a key would be too old.
            ChargeAttempt.objects.filter(status="created").update(created_at=timezone.now())
            charge()


def told(kind):
    return EmailMessage.objects.filter(kind=kind).count()


def test_a_card_that_is_gone_at_stripe_is_not_asked_for_every_day_and_the_family_hears_of_it(shop):
    """Detached in the dashboard, by Link, or with a customer that was deleted there; nothing was reported."""
    installment = order_with_plan(shop)
    detach(shop, card_of(installment))

    days_from_due(installment)

    installment.refresh_from_db()
    [attempt] = installment.attempts.on_saved_cards()
    assert (installment.status, attempt.status, attempt.decline_code) == (
        "needs_card",
        "declined",
        "card_gone",
    )
    assert told("payment_failed") == 1
    mail = EmailMessage.objects.get(kind="payment_failed")
    assert mail.context["reason"].startswith("The card is no longer saved")
    assert not StaffTask.objects.exists()
    page = words(parent_of(installment.order.household).get("/account/"))
    assert "No longer saved" in page
    assert violations() == []


def test_a_card_whose_removal_was_reported_is_never_asked(shop):
    installment = order_with_plan(shop)
    detach(shop, card_of(installment))
    hear(shop, "payment_method.detached")

    days_from_due(installment)

    installment.refresh_from_db()
    assert (installment.status, ChargeAttempt.objects.on_saved_cards().count()) == ("needs_card", 0)
    change_card(shop, installment.order.household)
    days_from_due(installment)
    installment.refresh_from_db()
    assert installment.status == "paid"


def test_the_cards_of_a_customer_that_was_deleted_at_stripe_are_gone(shop):
    installment = order_with_plan(shop)
    api(shop, "DELETE", f"/v1/customers/{installment.order.household.stripe_customer.stripe_id}")

    hear(shop, "customer.deleted")

    assert card_of(installment).gone_at is not None
    assert not StaffTask.objects.filter(kind="event_parked").exists()


def test_an_old_card_that_is_removed_after_it_was_replaced_changes_nothing(shop):
    installment = order_with_plan(shop)
    old = card_of(installment)
    change_card(shop, installment.order.household)
    detach(shop, old)

    hear(shop, "payment_method.detached")

    days_from_due(installment, days=1)
    installment.refresh_from_db()
    assert (installment.status, CardAgreement.objects.current().get().card.last4) == ("paid", "7726")


def test_a_card_that_the_network_renews_is_charged_again_by_itself(shop):
    installment = order_with_plan(shop)
    script(shop, installment, {"code": "expired_card"}, "ok")
    start_charges(DUE, on=installment.due_on)
    charge()
    installment.refresh_from_db()
    assert installment.status == "needs_card"
    card = card_of(installment)
    renew(shop, card, exp_month=1, exp_year=2041)

    hear(shop, "payment_method.automatically_updated")

    days_from_due(installment)
    card.refresh_from_db()
    installment.refresh_from_db()
    assert (installment.status, card.exp_year) == ("paid", 2041)
    assert violations() == []


def test_an_expired_card_is_not_asked_until_it_is_renewed(shop):
    installment = order_with_plan(shop)
    card = card_of(installment)
    Card.objects.update(exp_year=installment.due_on.year - 1)

    days_from_due(installment, days=2)
    installment.refresh_from_db()
    assert (installment.status, ChargeAttempt.objects.on_saved_cards().count()) == ("needs_card", 0)
    renew(shop, card, exp_month=1, exp_year=2041)
    hear(shop, "payment_method.automatically_updated")

    days_from_due(installment, days=4)
    installment.refresh_from_db()
    assert installment.status == "paid"


def test_what_is_reported_late_undoes_nothing(shop):
    """A renewal that is worked off after the removal, and another after a second renewal."""
    installment = order_with_plan(shop)
    card = card_of(installment)
    renew(shop, card, exp_month=1, exp_year=2041)
    renew(shop, card, exp_month=1, exp_year=2045)
    first, second = shop.events("payment_method.automatically_updated")
    for event in (second, first):
        deliver(event)
        work_off_inbox()
    card.refresh_from_db()
    assert card.exp_year == 2045

    detach(shop, card)
    hear(shop, "payment_method.detached")
    renew(shop, card, exp_month=1, exp_year=2049)
    hear(shop, "payment_method.automatically_updated")

    card.refresh_from_db()
    assert (card.exp_year, card.gone_at is not None) == (2045, True)


def test_a_card_refused_for_good_stays_refused_when_another_order_saves_it_again(shop):
    installment = order_with_plan(shop)
    script(shop, installment, "stolen_card")
    start_charges(DUE, on=installment.due_on)
    charge()
    assert card_of(installment).refused_at is not None

    other = order_with_plan(shop, household=installment.order.household)

    days_from_due(other, days=1)
    other.refresh_from_db()
    again = CardAgreement.objects.current().get(order=other.order).card
    assert (other.status, again.refused_at is not None) == ("needs_card", True)
    renew(shop, again, exp_month=1, exp_year=2041)  # the same number with another date
    hear(shop, "payment_method.automatically_updated")
    again.refresh_from_db()
    assert (again.exp_year, again.refused_at is not None) == (2041, True)
