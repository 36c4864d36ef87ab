"""Staff act on an installment while the job charges it. Each race has its control."""

import itertools
from datetime import timedelta
from functools import partial

import pytest
import requests
from django.utils import timezone

from billing.installments import attempts, dunning, staff_actions
from billing.installments.next_step import NextStep, Step
from billing.models import (
    PaymentMethod,
)
from billing.stripe import gateway
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from tests.billing.charge_races import fresh, job, outcome, page_of, start_without_looking
from tests.billing.races import at_once, meanwhile
from tests.shop import money_moved, order_with_plan

pytestmark = [pytest.mark.usefixtures("committed_db"), pytest.mark.xdist_group("races")]


ACTS = {
    "waive": lambda part, by: staff_actions.waive(installment=part, by=by, reason="x"),
    "cancel": lambda part, by: staff_actions.cancel(installment=part, by=by, reason="x"),
    "hold": lambda part, by: staff_actions.hold(installment=part, by=by, reason="x"),
    "move": lambda part, by: staff_actions.move_date(
        installment=part, by=by, reason="x", to=part.due_on + timedelta(days=20), on=timezone.localdate()
    ),
    "cash": lambda part, by: staff_actions.record_offline(
        installment=part, by=by, reason="x", method=PaymentMethod.CASH, received_at=timezone.now()
    ),
}


ENDS = {"waive": "waived", "cancel": "cancelled", "cash": "paid", "hold": "scheduled", "move": "scheduled"}


def act_while_the_job_looks(shop, staff, patch, act):
    installment = order_with_plan(shop)
    meanwhile(patch, dunning, "_start_batch", lambda: ACTS[act](fresh(installment), staff))
    job(installment)
    return installment


def test_staff_act_while_the_job_looks_and_nothing_is_charged(shop, staff, monkeypatch):
    for act, status in ENDS.items():
        with monkeypatch.context() as patch:
            installment = act_while_the_job_looks(shop, staff, patch, act)
        assert outcome(shop, installment) == (0, 0, 0, [], status), act
    assert violations() == []


def test_staff_act_while_it_is_charged_and_are_refused(shop, staff, monkeypatch):
    for act, step in itertools.product(ACTS.values(), ["create_invoice", "pay_invoice"]):
        installment = order_with_plan(shop)
        with monkeypatch.context() as patch:
            came_to = meanwhile(patch, gateway, step, partial(act, fresh(installment), staff))
            job(installment)

        assert [type(error) for error in came_to] == [NotPossible]
        assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")
    assert violations() == []


def test_control_without_the_second_look_the_job_charges_all_the_same(shop, staff, monkeypatch):
    monkeypatch.setattr(dunning, "_start", start_without_looking)
    monkeypatch.setattr(attempts, "_why_unwanted", lambda attempt: "")  # the worker's own look
    for act in ACTS:
        with monkeypatch.context() as patch:
            installment = act_while_the_job_looks(shop, staff, patch, act)
        assert money_moved(shop, installment) == [installment.amount_cents], act
    assert violations() != []


def the_job_comes_while_staff_waive(shop, staff, monkeypatch):
    """Just after its invoice was seen closed."""
    installment = order_with_plan(shop)
    page_of(installment)
    meanwhile(monkeypatch, staff_actions, "_void", lambda: job(installment), after=True)
    [came_to] = at_once(lambda: ACTS["waive"](fresh(installment), staff))
    return installment, came_to


def test_the_job_comes_while_staff_close_the_invoice_and_charges_nothing(shop, staff, monkeypatch):
    installment, came_to = the_job_comes_while_staff_waive(shop, staff, monkeypatch)

    assert came_to is None
    assert outcome(shop, installment) == (0, 0, 0, [], "waived")
    assert not StaffTask.objects.exists()
    assert violations() == []


def test_control_without_the_hold_the_job_charges_what_staff_waive(shop, staff, monkeypatch):
    monkeypatch.setattr(dunning, "_start", start_without_looking)
    monkeypatch.setattr(dunning, "next_step", lambda part, **facts: NextStep(Step.CHARGE))
    monkeypatch.setattr(attempts, "_why_unwanted", lambda attempt: "")

    installment, came_to = the_job_comes_while_staff_waive(shop, staff, monkeypatch)

    assert (type(came_to), str(came_to)) == (NotPossible, "It is paid.")
    assert outcome(shop, installment) == (1, 1, 1, ["succeeded"], "paid")


@pytest.mark.parametrize(("guarded", "money"), [(True, 0), (False, 1)])
def test_cash_closes_the_page_that_the_parent_still_has_open(shop, staff, monkeypatch, guarded, money):
    installment = order_with_plan(shop)
    page = page_of(installment)
    if not guarded:
        monkeypatch.setattr(staff_actions, "_void", lambda installment: None)

    ACTS["cash"](fresh(installment), staff)
    requests.post(page, data={"card": "4242424242424242"}, allow_redirects=False, timeout=60)

    assert len(money_moved(shop, installment)) == money
