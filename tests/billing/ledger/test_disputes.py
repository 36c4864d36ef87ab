"""What a family's bank takes back, may take back, or asks about."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment, settle_waiting_cancellations
from billing.changes.class_closure import close_session, preview_session, process_closures
from billing.changes.transfer import transfer
from billing.events.lookups import look_at_dispute
from billing.ledger.disputes import settle_dispute
from billing.ledger.refund_sending import refund_waiting
from billing.models import ClosureLine, Dispute, Refund
from csf.models import StaffTask
from csf.proofs.invariants import violations
from csf.refusal import NotPossible
from csf.staff.tasks import close_settled
from enrollments.models import Enrollment
from notifications.models import EmailMessage
from tests.billing.refunds import DISPUTED, approved, asked, mails, open_tasks, paid, went_back
from tests.factories import create_course, create_staff
from tests.shop import hear

pytestmark = pytest.mark.django_db


def disputed(shop):
    payment = paid(shop, DISPUTED)
    hear(shop, "charge.dispute.created")
    return payment, Dispute.objects.get()


def close(shop, dispute, status):
    shop.server.control("POST", f"/_disputes/{dispute.stripe_id}", {"status": status})
    hear(shop, "charge.dispute.closed")


def test_a_dispute_stops_charges_and_refunds_until_it_is_decided(shop):
    payment, dispute = disputed(shop)
    payment.order.refresh_from_db()
    assert payment.order.charges_paused_at
    assert open_tasks() == ["dispute"]
    refund = approved(payment)

    refund_waiting()
    refund.refresh_from_db()
    assert (refund.status, went_back(shop)) == ("approved", [])

    close(shop, dispute, "won")
    refund_waiting()
    refund.refresh_from_db()
    assert refund.status == "succeeded"
    assert violations() == []


def test_a_lost_dispute_is_money_gone_and_ends_what_was_asked_for(shop):
    payment, dispute = disputed(shop)
    waiting, granted = asked(payment, 1000), approved(payment)

    close(shop, dispute, "lost")
    hear(shop, "charge.dispute.closed")
    look_at_dispute(dispute.stripe_id)
    refund_waiting()

    statuses = {row.cause: row.status for row in Refund.objects.all()}
    assert statuses == {"staff": "rejected", "dispute": "external"}
    for refund in (waiting, granted):
        refund.refresh_from_db()
        assert refund.status == "rejected"
    assert Refund.objects.get(cause="dispute").amount_cents == payment.amount_cents
    with pytest.raises(NotPossible, match=r"\$0\.00"):
        asked(payment, 1)
    assert (mails(), went_back(shop)) == ([], [])
    assert violations() == []


def test_a_disputed_payment_becomes_no_credit_while_the_bank_may_take_it(shop):
    payment, dispute = disputed(shop)
    household = payment.order.household
    later = timezone.now() + timedelta(days=20)

    done = cancel_enrollment(
        enrollment=Enrollment.objects.get(), by=household.guardians.get(), reason="x", now=later
    )
    assert (done.status, done.waits_for_bank, household.credits.count()) == ("waiting", True, 0)
    assert settle_waiting_cancellations() == 0
    close(shop, dispute, "lost")
    assert settle_waiting_cancellations() == 1

    done.refresh_from_db()
    assert (done.credit_cents, household.credits.count()) == (0, 0)
    assert Refund.objects.get().amount_cents == payment.amount_cents
    assert violations() == []


def test_a_dispute_that_is_won_lets_the_credit_come(shop):
    payment, dispute = disputed(shop)
    later = timezone.now() + timedelta(days=20)
    cancel_enrollment(enrollment=Enrollment.objects.get(), by=create_staff(), reason="x", now=later)

    close(shop, dispute, "won")
    settle_waiting_cancellations()

    assert payment.order.household.credits.balance_cents() == 14400
    assert violations() == []


def test_no_move_gives_credit_for_disputed_money(shop):
    disputed(shop)
    move = {"by": create_staff(), "reason": "x", "now": timezone.now()}

    with pytest.raises(Exception, match="no credit is given until it has decided"):
        transfer(enrollment=Enrollment.objects.get(), course=create_course(price_cents=4400), **move)
    transfer(enrollment=Enrollment.objects.get(), course=create_course(price_cents=14400), **move)


@pytest.mark.parametrize(
    ("status", "cents", "result"),
    [("won", 1440, "$14.40 as credit"), ("lost", 0, "no money: the bank has given it back")],
)
def test_credit_for_a_session_is_given_by_another_try_after_the_dispute(shop, client, status, cents, result):
    payment, dispute = disputed(shop)
    course, staff = payment.order.items.get().course, create_staff()
    session = course.plan_sessions()[1]
    fingerprint = preview_session(session=session).fingerprint
    close_session(session=session, by=staff, reason="ill", now=timezone.now(), fingerprint=fingerprint)
    process_closures(now=timezone.now())
    line = ClosureLine.objects.get()
    assert (line.status, line.result) == (
        "failed",
        "$14.40 not given: the bank disputes its payment. Try again once it has decided.",
    )
    StaffTask.objects.about(line).close(by=staff)
    [email] = EmailMessage.objects.filter(kind="session_cancelled")  # the door is closed to this child too
    assert email.facts["credit_cents"] == 0

    close(shop, dispute, status)

    task = StaffTask.objects.about(line).open().get()
    assert task.detail == "The dispute has ended: try again to give the credit."
    client.force_login(staff)
    closure_page = reverse("admin:billing_closure_change", args=[line.closure_id])
    line_page = client.get(reverse("admin:billing_closureline_change", args=[line.pk]))
    assert f'href="{closure_page}"' in line_page.text
    client.post(reverse("admin:billing_closure_again", args=[line.closure_id]), {"line": line.pk})
    process_closures(now=timezone.now())

    line.refresh_from_db()
    assert (line.status, line.result) == ("done", result)
    assert payment.order.household.credits.balance_cents() == cents
    assert not StaffTask.objects.about(line).open().exists()
    assert EmailMessage.objects.filter(kind="session_cancelled").count() == 1
    assert violations() == []


def found(**fields):
    return {
        "id": "du_1",
        "amount": 14400,
        "currency": "usd",
        "reason": "fraudulent",
        "status": "needs_response",
        "created": int(timezone.now().timestamp()),
        "evidence_details": {},
        "balance_transactions": [],
    } | fields


@pytest.mark.parametrize(
    ("status", "moved", "gone"),
    [
        ("won", [-14400, 14400], 0),
        ("lost", [-14400], 14400),
        ("warning_closed", [], 0),
        ("prevented", [], 0),  # blocked, or refunded: then a refund says so
        ("prevented", [-14400], 14400),
        ("a_status_of_next_year", [], None),
    ],
)
def test_each_final_status_closes_a_dispute(shop, status, moved, gone):
    """https://docs.stripe.com/api/disputes/object"""
    payment = paid(shop)
    settle_dispute(found(), payment)
    moves = [{"amount": cents} for cents in moved]

    for _ in range(2):
        settle_dispute(found(status=status, balance_transactions=moves), payment)
    settle_dispute(found(), payment)  # read before it was closed

    dispute = Dispute.objects.get()
    assert dispute.is_open == (gone is None)
    assert sum(Refund.objects.values_list("amount_cents", flat=True)) == (gone or 0)
    assert open_tasks() == ["dispute" if gone is None else "dispute_decided"]
    if gone is not None:
        word = "the money is gone" if gone else "the money stays"
        assert word in StaffTask.objects.open().get().detail
        assert close_settled() == 0  # a person has to hear of it
    assert violations() == []


def test_a_bank_that_decides_again_is_believed(shop):
    payment = paid(shop)
    settle_dispute(found(), payment)
    for status in ("lost", "won", "lost"):
        settle_dispute(found(status=status), payment)

    rows = Refund.objects.order_by("pk").values_list("cause", "status", "amount_cents")
    assert list(rows) == [("dispute", "failed", 14400), ("dispute", "external", 14400)]
    assert violations() == []


@pytest.mark.parametrize("end", ["won", "lost"])
def test_a_dispute_that_is_only_heard_of_when_it_is_over_stops_the_charges_too(shop, end):
    """A person has to decide about them, whichever event came through."""
    payment = paid(shop, DISPUTED)
    [made] = shop.server.books()["disputes"]
    shop.server.control("POST", f"/_disputes/{made['id']}", {"status": end})

    hear(shop, "charge.dispute.closed", "charge.dispute.created")

    payment.order.refresh_from_db()
    assert (payment.order.charges_paused_at is not None, open_tasks()) == (True, ["dispute_decided"])


@pytest.mark.parametrize("told", ["closed", "funds_reinstated", "late"])
def test_what_comes_back_of_a_lost_dispute_had_been_refunded_before(shop, told):
    """The bank takes the whole payment, of which a part went back before, and gives that part back:
    https://docs.stripe.com/api/events/types, charge.dispute.funds_reinstated"""
    payment = paid(shop)
    approved(payment, 5000)
    refund_waiting()
    about = {"charge": payment.stripe_charge_id, "amount": payment.amount_cents}
    made = shop.server.control("POST", "/_disputes", about)
    end = {"status": "lost", "reinstated": 5000}
    if told == "late":
        end = {"status": "lost"}
        shop.server.control("POST", f"/_disputes/{made['id']}", end)
        hear(shop, "charge.dispute.created", "charge.dispute.closed")
        row = {"amount": 5000, "currency": "usd"}
        shop.server.state.store.tables["dispute"][made["id"]]["balance_transactions"].append(row)
        look_at_dispute(made["id"])
    else:
        shop.server.control("POST", f"/_disputes/{made['id']}", end)
        hear(shop, f"charge.dispute.{told}")

    gone = Refund.objects.filter(status__in=["succeeded", "external"]).order_by("pk")
    assert list(gone.values_list("cause", "amount_cents")) == [("staff", 5000), ("dispute", 9400)]
    assert "$94.00 of it is gone" in StaffTask.objects.open().get(kind="dispute_decided").detail
    assert violations() == []


def test_an_inquiry_blocks_no_refund_and_no_credit_until_it_becomes_a_dispute(shop):
    payment = paid(shop)
    [charge] = [row["id"] for row in shop.server.books()["charges"]]
    asked_about = {"charge": charge, "status": "warning_needs_response"}
    made = shop.server.control("POST", "/_disputes", asked_about)
    hear(shop, "charge.dispute.created")
    assert "has taken no money" in StaffTask.objects.open().get().detail
    refund = approved(payment, 1000)

    refund_waiting()
    assert went_back(shop) == [1000]

    shop.server.control("POST", f"/_disputes/{made['id']}", {"status": "needs_response"})
    hear(shop, "charge.dispute.updated")
    second = approved(payment, 2000)
    refund_waiting()
    second.refresh_from_db()
    assert (second.status, went_back(shop), open_tasks()) == ("approved", [1000], ["dispute"])
    assert "The bank disputes" in StaffTask.objects.open().get().detail
    assert refund.payment.disputes.get().status == "needs_response"
