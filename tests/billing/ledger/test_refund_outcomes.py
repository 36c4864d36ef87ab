"""What Stripe and the bank answer to a refund, late, twice or not at all."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.events.lookups import look_at_refund
from billing.ledger import refund_sending
from billing.ledger.refund_sending import recover_refunds, refund_waiting, run_refund
from billing.models import Refund
from csf.proofs.invariants import violations
from tests.billing.refunds import (
    EVENTS,
    REFUND_FAILS_LATER,
    REFUND_PENDS,
    approved,
    asked,
    look_again,
    mails,
    open_tasks,
    paid,
    went_back,
)
from tests.shop import hear


def test_a_pending_one_is_asked_again_the_next_day(shop):
    refund = approved(paid(shop, REFUND_PENDS))
    refund_waiting()
    refund.refresh_from_db()
    assert (refund.status, mails()) == ("sending", [])
    assert refund.next_look_at > timezone.now() + timedelta(hours=23)
    assert violations() == []

    shop.server.control("POST", "/_clock", {"advance": 24 * 3600})
    look_again()

    refund.refresh_from_db()
    assert (refund.status, went_back(shop)[-1:]) == ("succeeded", [5000])


def test_one_that_the_bank_sends_back_days_later_goes_to_staff(shop):
    payment = paid(shop, REFUND_FAILS_LATER)
    refund = approved(payment)
    refund_waiting()
    hear(shop, *EVENTS)
    shop.server.control("POST", "/_clock", {"advance": 24 * 3600})

    hear(shop, *EVENTS)

    refund.refresh_from_db()
    assert (refund.status, open_tasks()) == ("failed", ["refund_failed"])
    assert mails() == ["refund_issued"]
    again = approved(payment, 14_400)  # all of it can be asked for anew
    refund_waiting()
    again.refresh_from_db()
    assert again.status == "succeeded"


def test_money_that_went_back_by_hand_before_is_no_crash(shop):
    payment = paid(shop)
    refund = approved(payment, 14_400)
    charge = shop.server.books()["charges"][0]["id"]
    shop.server.control("POST", "/_refunds", {"charge": charge, "amount": 14_400})

    refund_waiting()
    hear(shop, *EVENTS)
    hear(shop, *EVENTS)

    refund.refresh_from_db()
    external = Refund.objects.get(cause="dashboard")
    assert (refund.status, external.status, external.amount_cents) == ("failed", "external", 14_400)
    assert open_tasks() == ["refund_external", "refund_failed"]
    assert went_back(shop) == [14_400]
    assert violations() == []


def test_one_of_the_dashboard_that_fails_later_no_longer_counts(shop):
    payment = paid(shop)
    charge = shop.server.books()["charges"][0]["id"]
    made = shop.server.control("POST", "/_refunds", {"charge": charge, "amount": 1000})
    hear(shop, *EVENTS)
    shop.server.control("POST", f"/_refunds/{made['id']}", {"status": "failed"})

    hear(shop, *EVENTS)

    assert Refund.objects.get().status == "failed"
    assert asked(payment, 14_400).status == "requested"


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "error_before", "error_after", "rate_limit"])
@pytest.mark.parametrize("times", [1, 3, 30])
def test_an_answer_that_is_lost_never_refunds_twice(shop, kind, times):
    refund = approved(paid(shop))
    fault = {"method": "POST", "path": "/v1/refunds", "kind": kind, "times": times}
    shop.server.control("POST", "/_faults", [fault])

    for tries in range(1, 9):
        look_again() if tries > 1 else refund_waiting()
        if tries == 6:
            shop.server.control("DELETE", "/_faults")
    refund.refresh_from_db()

    assert (refund.status, went_back(shop)) == ("succeeded", [5000])
    assert mails() == ["refund_issued"]


def test_an_outcome_that_stays_unknown_goes_to_staff_and_is_looked_up_each_day(shop):
    refund = approved(paid(shop))
    shop.server.control("POST", "/_faults", [{"path": "/v1/refunds*", "kind": "drop_after"}])
    refund_waiting()
    for _ in range(4):
        look_again()

    refund.refresh_from_db()
    assert (refund.status, open_tasks()) == ("unknown", ["refund_unknown"])
    assert refund.next_look_at > timezone.now() + timedelta(hours=23)
    shop.server.control("DELETE", "/_faults")
    look_again()
    refund.refresh_from_db()
    assert (refund.status, went_back(shop)) == ("succeeded", [5000])


def test_after_the_life_of_its_key_it_is_only_read(shop, monkeypatch):
    """Lost before Stripe got it: it failed. When Stripe has made it after all, its word counts."""
    lost, late = approved(paid(shop)), approved(paid(shop), 6000)
    shop.server.control(
        "POST", "/_faults", [{"method": "POST", "path": "/v1/refunds", "kind": "drop_before", "times": 99}]
    )
    refund_waiting()
    shop.server.control("DELETE", "/_faults")
    monkeypatch.setattr(refund_sending, "KEY_LIFE", timedelta(0))
    posts = len(shop.server.books()["posts"])

    look_again()

    assert len(shop.server.books()["posts"]) == posts
    assert set(Refund.objects.values_list("status", flat=True)) == {"failed"}
    intent = Refund.objects.get(pk=late.pk).stripe_payment_intent_id
    refund_sending.gateway.create_refund(
        payment_intent=intent, amount_cents=6000, metadata={"refund": str(late.public_id)}, key="late"
    )
    hear(shop, *EVENTS)
    for refund, status in [(lost, "failed"), (late, "succeeded")]:
        refund.refresh_from_db()
        assert refund.status == status
    assert went_back(shop) == [6000]


@pytest.mark.parametrize("step", ["_claim", "_made", "settle_refund"])
def test_a_worker_that_dies_at_any_step_loses_and_doubles_nothing(shop, monkeypatch, step):
    class Killed(BaseException):
        pass

    refund = approved(paid(shop))
    real = getattr(refund_sending, step)

    def die(*args):
        if step != "settle_refund":
            real(*args)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(refund_sending, step, die)
        with pytest.raises(Killed):
            run_refund(refund.pk)
    refund.refresh_from_db()
    assert refund.status == "sending"
    refund_waiting()  # its lease still runs
    assert refund.transitions.count() == 2

    Refund.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    recover_refunds()
    look_again()

    refund.refresh_from_db()
    assert (refund.status, went_back(shop)) == ("succeeded", [5000])


def test_an_event_before_the_answer(shop, monkeypatch):
    refund = approved(paid(shop))
    create = refund_sending.gateway.create_refund

    def create_and_hear(**options):
        found = create(**options)
        look_at_refund(found["id"])
        return found

    monkeypatch.setattr(refund_sending.gateway, "create_refund", create_and_hear)
    refund_waiting()

    refund.refresh_from_db()
    assert (refund.status, mails(), Refund.objects.count()) == ("succeeded", ["refund_issued"], 1)


def test_an_old_read_of_a_success_does_not_undo_a_failure(shop):
    refund = approved(paid(shop, REFUND_FAILS_LATER))
    refund_waiting()
    refund.refresh_from_db()
    old = refund_sending.gateway.retrieve_refund(refund.stripe_refund_id)
    shop.server.control("POST", "/_clock", {"advance": 24 * 3600})
    look_at_refund(refund.stripe_refund_id)

    refund_sending.settle_refund(old)

    refund.refresh_from_db()
    assert refund.status == "failed"
