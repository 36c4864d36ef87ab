"""A card pays what it was agreed for, and nothing else."""

from datetime import timedelta

from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.place_order import place_order
from billing.installments.dunning import start_attempt, start_charges
from billing.ledger.cards import card_of
from billing.models import (
    Card,
    CardAgreement,
    CardUpdate,
    ChargeAttempt,
    ChargeStatus,
    Installment,
    PaymentPlan,
)
from csf.models import StaffTask
from csf.proofs.invariants import violations
from enrollments.models import Enrollment
from orders.models import Order
from tests.factories import create_cart, create_course
from tests.pages import parent_of, words
from tests.shop import DUE, VISA, change_card, charge, hear, open_page, order_with_plan
from tests.waitlist import family, full_class, join, save_a_card

GRANDMOTHERS = "4000000000007726"
THIRD = "4000000000005126"


def second_order(shop, household, *, card=GRANDMOTHERS, other_orders=()):
    """Of the same family, in two parts, its first part paid with that card."""
    plan = PaymentPlan.objects.get(parts=2)
    order = create_cart(household=household, courses=[create_course()])
    by, now = household.guardians.get(), timezone.now()
    place_order(order=order, by=by, now=now, plan=plan, other_orders=other_orders)
    shop.pay(open_page(order), card)
    hear(shop, "payment_intent.succeeded")
    return order


def pays(household):
    """The last four of the card that pays each order, oldest order first."""
    current = CardAgreement.objects.current().filter(order__household=household)
    return list(current.order_by("order").values_list("card__last4", flat=True))


def test_the_card_of_one_order_pays_no_other_without_being_agreed_to(shop):
    """The second order is paid with somebody else's card: grandmother's, or the other parent's."""
    first = order_with_plan(shop)
    household = first.order.household
    agreed = first.order.consent.text

    other = second_order(shop, household)

    start_charges(DUE, on=first.due_on)
    assert {(row.installment.order, row.card.last4) for row in ChargeAttempt.objects.on_saved_cards()} == {
        (first.order, "4242"),
        (other, "7726"),
    }
    assert "the card I use for the first payment" in agreed
    assert "and for no other order" in other.consent.text
    charge()
    assert set(first.order.installments.values_list("status", flat=True)) == {"paid"}
    assert violations() == []


def test_the_card_of_a_new_order_pays_what_the_parent_ticks(shop):
    first = order_with_plan(shop)
    household = first.order.household
    order = create_cart(household=household, courses=[create_course()])
    plan = PaymentPlan.objects.get(parts=2)
    page = parent_of(household).get("/checkout/")
    ticket = f"The rest of order {first.order.number}, $72.00 , instead of Visa ending in 4242"
    assert ticket in words(page)
    assert "and for no other order, unless I choose it below" in words(page)

    form = {"order": order.public_id, "plan": plan.pk, "other_order": first.order.public_id}
    parent_of(household).post("/checkout/", form)

    order.refresh_from_db()
    assert "of my other orders: $72.00 on" in order.consent.text
    assert pays(household) == ["4242"]  # nothing is paid yet
    shop.pay(open_page(order), GRANDMOTHERS)
    hear(shop, "payment_intent.succeeded")
    assert pays(household) == ["7726", "7726"]
    assert Card.objects.get(replaced_at=None).last4 == "7726"


def test_another_familys_order_cannot_be_ticked(shop):
    strange = order_with_plan(shop).order
    first = order_with_plan(shop)
    order = create_cart(household=first.order.household, courses=[create_course()])

    form = {"order": order.public_id, "plan": PaymentPlan.objects.get().pk, "other_order": strange.public_id}
    answer = parent_of(order.household).post("/checkout/", form, follow=True)

    assert "The amounts left on your other orders have changed" in words(answer)
    assert Order.objects.get(pk=order.pk).status == "draft"


def test_replacing_a_card_takes_over_what_it_paid_and_leaves_the_other_card_alone(shop):
    first = order_with_plan(shop)
    household = first.order.household
    ticked = second_order(shop, household, card=VISA)  # the same card, saved a second time
    second_order(shop, household)
    [mine, grandmothers] = [
        Card.objects.filter(last4="4242").earliest("pk"),
        Card.objects.get(last4="7726"),
    ]
    client = parent_of(household)
    assert "Which card would you like to replace?" in words(client.get("/account/card/"))
    page = words(client.get(f"/account/card/?card={mine.public_id}"))
    assert (page.count("Charged on"), first.order.number in page, ticked.number in page) == (2, True, True)

    shop.pay(client.post(f"/account/card/?card={mine.public_id}").url, THIRD)
    hear(shop, "setup_intent.succeeded")

    assert pays(household) == ["5126", "5126", "7726"]
    grandmothers.refresh_from_db()
    assert (grandmothers.replaced_at, Card.objects.filter(replaced_at=None).count()) == (None, 2)
    assert violations() == []


def test_of_two_new_cards_the_one_that_was_asked_for_last_counts_in_whatever_order_they_are_told(shop):
    household = order_with_plan(shop).order.household
    older, newer = [parent_of(household).post("/account/card/").url for _ in range(2)]
    shop.pay(newer, GRANDMOTHERS)
    hear(shop, "setup_intent.succeeded")
    shop.pay(older, THIRD)

    hear(shop, "setup_intent.succeeded")

    assert pays(household) == ["7726"]


def test_a_page_whose_list_is_out_of_date_saves_no_card(shop):
    first = order_with_plan(shop)
    client = parent_of(first.order.household)
    fingerprint = client.get("/account/card/").context["use"].fingerprint
    second_order(shop, first.order.household, card=VISA)

    answer = client.post("/account/card/", {"fingerprint": fingerprint})

    assert "Please check the list again." in words(answer)


def test_a_card_replaced_while_the_old_one_is_charged_is_asked_the_next_day(shop, monkeypatch):
    """The bank refuses the old card for good, but by then the family has saved another."""
    from billing.stripe import gateway
    from tests.shop import script

    part = order_with_plan(shop)
    script(shop, part, "lost_card")
    start_charges(DUE, on=part.due_on)
    pay = gateway.pay_invoice

    def meanwhile(*args, **options):
        change_card(shop, part.order.household)
        return pay(*args, **options)

    monkeypatch.setattr(gateway, "pay_invoice", meanwhile)
    charge()

    part.refresh_from_db()
    assert (part.status, pays(part.order.household)) == ("retry_wait", ["7726"])


def test_a_card_that_was_asked_for_after_the_backup_is_for_a_person(shop):
    part = order_with_plan(shop)
    page = parent_of(part.order.household).post("/account/card/").url
    CardUpdate.objects.all().delete()
    shop.pay(page, GRANDMOTHERS)

    hear(shop, "setup_intent.succeeded")

    [task] = StaffTask.objects.open()
    assert (task.kind, task.subject) == ("card_unknown", f"billing.card:{Card.objects.get(last4='7726').pk}")
    assert pays(part.order.household) == ["4242"]


def test_a_new_card_is_kept_although_what_is_due_cannot_be_charged_yet(shop):
    """A place of the order was given up, and the outcome of another charge of it is not known."""
    part = order_with_plan(shop, parts=3)
    order, today = part.order, timezone.localdate()
    attempt = start_attempt(order.installments.get(number=3), card=card_of(order), kind="staff", on=today)
    attempt.transition_to(ChargeStatus.SENDING)
    attempt.transition_to(ChargeStatus.UNKNOWN, next_look_at=timezone.now() + timedelta(days=1))
    Installment.objects.filter(pk=part.pk).update(due_on=today)
    place = Enrollment.objects.get(order_item__order=order)
    cancel_enrollment(enrollment=place, by=order.household.lead, reason="x", now=timezone.now())

    change_card(shop, order.household, GRANDMOTHERS, charge_now="on")

    assert pays(order.household) == ["7726"]
    assert set(ChargeAttempt.objects.on_saved_cards()) == {attempt}


def test_a_place_from_the_waitlist_is_charged_to_the_card_that_was_agreed_for_it(shop):
    course = full_class()
    waiting = family("Lopez")
    save_a_card(shop, waiting)
    place = join(waiting, course, "priority")
    assert "charge my card, Visa ending in 4242," in place.waitlist_consent.text
    save_a_card(shop, waiting, GRANDMOTHERS)

    agreement = CardAgreement.objects.current().get(waitlist_consent__enrollment=place)

    assert agreement.card.last4 == "4242"


def test_who_has_no_card_is_asked_to_add_one_and_not_to_change_it(shop):
    household = family("Lopez")

    page = words(parent_of(household).get("/account/card/"))

    assert "Add a card" in page
    assert "Change" not in page
    assert "Replace" not in page
