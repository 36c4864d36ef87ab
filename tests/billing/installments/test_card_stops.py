"""A card that is no longer charged although payments are ahead: removed at Stripe, or stopped by the
family."""

import pytest

from billing.installments.card_stops import withdraw
from billing.models import CardAgreement, CardStop, Installment
from csf.proofs.invariants import violations
from enrollments.models import Household
from notifications.models import EmailMessage
from tests.factories import create_household
from tests.pages import parent_of, words
from tests.shop import at_stripe, card_of, change_card, hear, money_moved, order_with_plan, run_days

NEXT = "When a payment is due, we email you a link to pay it."


def mails(kind="card_stopped"):
    return list(EmailMessage.objects.filter(kind=kind).order_by("pk"))


def detach(shop, installment):
    at_stripe(shop, "POST", f"/v1/payment_methods/{card_of(installment).stripe_payment_method_id}/detach")


def stop_page(installment):
    return f"/account/card/{card_of(installment).public_id}/stop/"


def press(parent, page):
    """Twice, with what the page showed the first time."""
    form = {"fingerprint": parent.get(page).context["use"].fingerprint}
    return [words(parent.post(page, form, follow=True)) for _ in range(2)]


def test_a_family_hears_once_that_its_card_was_removed_and_what_was_ahead(shop):
    second = order_with_plan(shop, parts=3)
    detach(shop, second)

    hear(shop, "payment_method.detached")
    hear(shop, "payment_method.detached")

    [mail] = mails()
    third = second.order.installments.get(number=3)
    told = [(part["due_on"], part["amount_cents"]) for part in mail.context["payments"]]
    assert told == [(part.due_on.isoformat(), part.amount_cents) for part in (second, third)]
    assert (mail.context["by_family"], mail.context["card_last4"]) == (False, "4242")
    assert mail.context["card_path"] == "/account/card/"


def test_a_deleted_customer_is_one_email_too(shop):
    household = order_with_plan(shop).order.household
    at_stripe(shop, "DELETE", f"/v1/customers/{household.stripe_customer.stripe_id}")

    hear(shop, "customer.deleted")
    hear(shop, "payment_method.detached", "customer.deleted")

    assert len(mails()) == 1


@pytest.mark.parametrize(
    "no_longer_ahead",
    [
        lambda part: Installment.objects.filter(pk=part.pk).update(status="waived"),
        lambda part: Installment.objects.filter(pk=part.pk).update(consent=None),
        lambda part: CardAgreement.objects.update(ended_at=part.created_at),
    ],
)
def test_nothing_is_said_of_a_card_that_would_be_charged_for_nothing(shop, no_longer_ahead):
    installment = order_with_plan(shop)
    no_longer_ahead(installment)
    detach(shop, installment)

    hear(shop, "payment_method.detached")

    assert (card_of(installment).gone_at is not None, mails(), CardStop.objects.count()) == (True, [], 0)


def test_a_parent_stops_the_charges_and_pays_by_the_link_of_an_email(shop):
    installment = order_with_plan(shop)
    household = installment.order.household
    parent = parent_of(household)
    page = stop_page(installment)
    assert page in parent.get("/account/").text
    asked = words(parent.get(page))
    assert f"You still owe them, and you keep your places. {NEXT}" in asked
    assert CardAgreement.objects.current().exists()

    first, again = press(parent, page)

    assert f"Visa ending in 4242 will no longer be charged automatically. {NEXT}" in first
    assert "Visa ending in 4242 will no longer be charged automatically." in again
    [mail], stop = mails(), CardStop.objects.get()
    assert (mail.context["by_family"], stop.by) == (True, household.guardians.get())
    assert not CardAgreement.objects.current().exists()
    run_days(installment, days=3)
    installment.refresh_from_db()
    assert (installment.status, money_moved(shop, installment)) == ("needs_card", [])
    [needed] = mails("card_needed")
    assert needed.context["pay_path"].startswith("/pay/")
    assert violations() == []

    change_card(shop, household)
    run_days(installment, days=4)
    installment.refresh_from_db()
    assert installment.status == "paid"


def test_a_page_that_shows_something_else_by_now_stops_nothing(shop):
    installment = order_with_plan(shop)
    parent = parent_of(installment.order.household)

    answer = parent.post(stop_page(installment), {"fingerprint": "another amount"})

    assert "Something has changed" in answer.text
    assert (CardAgreement.objects.current().count(), mails()) == (1, [])


def test_a_card_of_another_family_is_not_found(shop):
    installment = order_with_plan(shop)
    stranger = parent_of(create_household())

    assert stranger.get(stop_page(installment)).status_code == 404
    assert stranger.post(stop_page(installment)).status_code == 404
    assert CardAgreement.objects.current().exists()


def test_both_reasons_are_one_email(shop):
    installment = order_with_plan(shop)
    guardian = Household.objects.get().guardians.get()

    assert withdraw(card_of(installment), by=guardian)
    assert not withdraw(card_of(installment), by=guardian)
    detach(shop, installment)
    hear(shop, "payment_method.detached")

    assert len(mails()) == 1
