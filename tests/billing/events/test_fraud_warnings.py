"""A card's bank reports a payment as fraud, before it may dispute it."""

import pytest

from billing.installments.dunning import candidates
from billing.installments.pause import resume_charges
from billing.models import Dispute, InstallmentStatus, Payment
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.staff.tasks import close_settled
from tests.billing.refunds import approved, open_tasks
from tests.factories import create_order, create_staff
from tests.shop import hear, open_page, order_with_plan
from tests.stripe_events import deliver, work_off_inbox

pytestmark = pytest.mark.django_db
SUSPECTED = "4000000000005423"
CREATED, UPDATED = "radar.early_fraud_warning.created", "radar.early_fraud_warning.updated"


def reasons(installment):
    candidate = candidates([InstallmentStatus.SCHEDULED], on=installment.due_on)
    return [row.reason for row in candidate]


def warn(shop, payment):
    shop.server.control("POST", "/_warnings", {"charge": payment.stripe_charge_id})
    hear(shop, CREATED)


def test_a_warning_stops_the_charges_and_asks_a_person_once(shop):
    installment = order_with_plan(shop)
    payment = installment.order.payments.get()

    warn(shop, payment)

    assert reasons(installment) == ["the charges of this order are paused"]
    task = StaffTask.objects.get()
    assert (task.kind, close_settled()) == ("fraud_warning", 0)
    assert "reports $72.00 as fraud (unauthorized use of card)" in task.detail
    assert "refund it now" in task.detail

    staff = create_staff()
    resume_charges(order=installment.order, by=staff, reason="the grandmother's card, all is well")
    StaffTask.objects.close(by=staff)
    for event in shop.events(CREATED):  # told again, as another event; and the bank warns twice
        deliver({**event, "id": "evt_again"})
    work_off_inbox()
    warn(shop, payment)

    assert (open_tasks(), reasons(installment)) == ([], [""])
    assert violations() == []


def test_a_warning_that_is_told_before_its_payment_brings_the_payment_with_it(shop):
    order = create_order()
    shop.pay(open_page(order), SUSPECTED)

    hear(shop, CREATED)

    assert (Payment.objects.get().order, open_tasks()) == (order, ["fraud_warning"])
    hear(shop, "payment_intent.succeeded", CREATED)
    assert (Payment.objects.count(), open_tasks()) == (1, ["fraud_warning"])


@pytest.mark.parametrize("end", ["refund", "dispute"])
def test_a_refund_or_a_dispute_is_the_end_of_a_warning(shop, end):
    order = create_order()
    shop.pay(open_page(order), SUSPECTED)
    hear(shop, CREATED)
    payment = Payment.objects.get()

    if end == "refund":
        approved(payment, payment.amount_cents)
    else:
        shop.server.control("POST", "/_disputes", {"charge": payment.stripe_charge_id})
    hear(shop, "charge.dispute.created", UPDATED)

    assert close_settled() == 1
    assert open_tasks() == (["dispute"] if end == "dispute" else [])
    assert Dispute.objects.count() == (end == "dispute")


def test_a_warning_that_comes_too_late_to_act_on_asks_for_nothing(shop):
    """Told days later, or of a payment that was refunded as a whole before."""
    order = create_order()
    shop.pay(open_page(order), SUSPECTED)
    [charge] = [row["id"] for row in shop.server.books()["charges"]]
    shop.server.control("POST", "/_refunds", {"charge": charge})

    hear(shop, CREATED, UPDATED)

    assert open_tasks() == []


def test_a_warning_about_other_money_is_none_of_our_business(shop):
    order = create_order()
    shop.pay(open_page(order), SUSPECTED)
    for intent in shop.server.state.store.tables["payment_intent"].values():
        intent["metadata"] = {"shop": "merchandise"}

    hear(shop, CREATED)

    assert (Payment.objects.count(), open_tasks()) == (0, [])
