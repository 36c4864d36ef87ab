"""What staff do with an open installment: outcomes, refusals, history, and never money twice."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.installments import staff_actions
from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.models import Installment, InstallmentStatus, PaymentMethod
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from tests.billing.open_invoices import state_of, with_open_invoice
from tests.rivals import at_once
from tests.shop import DUE, charge, hear, money_moved, order_with_plan


def test_charged_now_by_staff(shop, staff):
    installment = with_open_invoice(shop)

    staff_actions.retry_now(
        installment=installment, by=staff, reason="asked on the phone", on=timezone.localdate()
    )
    charge()
    hear(shop, "invoice.paid")

    cents = installment.amount_cents
    assert state_of(shop, installment) == (
        "paid",
        ["paid"],
        [(cents, "stripe")],
        ["charged now: asked on the phone"],
    )
    assert money_moved(shop, installment) == [cents]


def test_held_and_released(shop, staff):
    installment = order_with_plan(shop)

    staff_actions.hold(installment=installment, by=staff, reason="promised to pay")
    assert start_charges(DUE, on=installment.due_on).done == 0
    with pytest.raises(NotPossible, match="is on hold"):
        staff_actions.retry_now(installment=installment, by=staff, reason="x", on=timezone.localdate())
    staff_actions.unhold(installment=installment, by=staff, reason="promise broken")

    assert start_charges(DUE, on=installment.due_on).done == 1


def test_a_new_date_begins_the_count_anew(shop, staff):
    installment = with_open_invoice(shop)
    new_date = installment.due_on + timedelta(days=20)

    staff_actions.move_date(
        installment=installment, by=staff, reason="new job", to=new_date, on=timezone.localdate()
    )
    installment.refresh_from_db()
    assert (installment.status, installment.due_on, installment.next_try_on) == ("scheduled", new_date, None)
    assert start_charges(DUE, on=new_date).done == 1
    charge()

    assert state_of(shop, installment)[:2] == ("paid", ["paid"])
    with pytest.raises(NotPossible, match="is in the past"):
        staff_actions.move_date(
            installment=order_with_plan(shop),
            by=staff,
            reason="x",
            to=timezone.localdate() - timedelta(days=1),
            on=timezone.localdate(),
        )


def test_split_into_two(shop, staff):
    installment = with_open_invoice(shop)
    later = installment.due_on + timedelta(days=10)

    first, second = staff_actions.split(
        installment=installment, by=staff, reason="two halves", first_cents=3000, second_on=later
    )

    assert state_of(shop, installment)[:3] == ("cancelled", ["void"], [])
    assert [(part.number, part.due_on, part.amount_cents) for part in (first, second)] == [
        (3, installment.due_on, 3000),
        (4, later, installment.amount_cents - 3000),
    ]
    assert violations() == []
    for cents in (0, installment.amount_cents, -1):
        with pytest.raises(NotPossible, match="at least"):
            staff_actions.split(
                installment=first, by=staff, reason="x", first_cents=cents or 0, second_on=later
            )
        break


@pytest.mark.parametrize("act", ["waive", "cancel"])
def test_let_go_with_its_invoice_void(shop, staff, act):
    installment = with_open_invoice(shop)

    getattr(staff_actions, act)(installment=installment, by=staff, reason="hardship")

    done = {"waive": "waived", "cancel": "cancelled"}[act]
    assert state_of(shop, installment) == (done, ["void"], [], [f"{done}: hardship"])


@pytest.mark.parametrize("method", [PaymentMethod.CASH, PaymentMethod.CHECK])
def test_paid_offline_with_its_invoice_void(shop, staff, method):
    installment = with_open_invoice(shop)

    staff_actions.record_offline(
        installment=installment, by=staff, reason="at the desk", method=method, received_at=timezone.now()
    )

    assert state_of(shop, installment)[:3] == ("paid", ["void"], [(installment.amount_cents, method.value)])
    assert violations() == []


def test_if_the_parent_has_just_paid_the_money_is_recorded_and_the_act_refused(shop, staff):
    installment = with_open_invoice(shop)
    page = shop.server.url + "/invoice/" + installment.stripe_invoice_id
    shop.pay(page)

    with pytest.raises(NotPossible, match="just paid"):
        staff_actions.record_offline(
            installment=installment,
            by=staff,
            reason="x",
            method=PaymentMethod.CASH,
            received_at=timezone.now(),
        )

    assert state_of(shop, installment) == ("paid", ["paid"], [(installment.amount_cents, "stripe")], [])


def test_while_stripe_is_away_nothing_is_changed(shop, staff):
    installment = with_open_invoice(shop)
    before = state_of(shop, installment)
    shop.server.control("POST", "/_faults", [{"path": "/v1/invoices/*", "kind": "drop_before"}])

    with pytest.raises(NotPossible, match="did not answer"):
        staff_actions.waive(installment=installment, by=staff, reason="x")

    shop.server.control("DELETE", "/_faults")
    assert state_of(shop, installment) == before
    assert installment.held_at is None


@pytest.mark.parametrize("status", ["paid", "cancelled", "waived"])
def test_what_is_over_stays_over(shop, staff, status):
    installment = order_with_plan(shop)
    Installment.objects.filter(pk=installment.pk).update(status=status)

    for act in (staff_actions.hold, staff_actions.waive, staff_actions.cancel):
        with pytest.raises(NotPossible):
            act(installment=installment, by=staff, reason="x")


def test_not_while_a_charge_is_under_way_and_not_without_a_reason(shop, staff):
    installment = order_with_plan(shop)
    with pytest.raises(NotPossible, match="Give a reason"):
        staff_actions.hold(installment=installment, by=staff, reason="  ")
    start_charges(DUE, on=installment.due_on)

    with pytest.raises(NotPossible):
        staff_actions.waive(installment=installment, by=staff, reason="x")

    assert state_of(shop, installment) == ("charging", [], [], [])


@pytest.mark.xdist_group("races")
def test_cash_at_the_desk_while_the_job_charges_is_never_money_twice(committed_db, shop, staff):
    outcomes = set()
    for _ in range(6):
        installment = order_with_plan(shop)

        def desk(installment=installment):
            staff_actions.record_offline(
                installment=installment,
                by=staff,
                reason="x",
                method=PaymentMethod.CASH,
                received_at=timezone.now(),
            )

        def job(installment=installment):
            start_charges([InstallmentStatus.SCHEDULED], on=installment.due_on)
            charge_waiting()

        at_once(desk, job, lost=(NotPossible,))
        if not state_of(shop, installment)[2]:
            charge_waiting()
        [(cents, method)] = state_of(shop, installment)[2]
        outcomes.add(method)
        assert cents == installment.amount_cents
        assert len(money_moved(shop, installment)) == (1 if method == "stripe" else 0)
    assert outcomes <= {"stripe", "cash"}
    assert violations() == []
