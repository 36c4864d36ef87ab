"""The drill of docs/operations.md: an older backup becomes production, while Stripe is ahead of it.

What moved twice, and who was told twice, is read in the stand-ins' own books.
"""

import re
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from billing import tasks as billing_tasks
from billing.changes.cancellation import cancel_enrollment
from billing.installments.dunning import start_charges
from billing.ledger.differences import explain
from billing.ledger.refunds import approve, ask_for_refund
from billing.models import (
    BookDifference,
    Dispute,
    Installment,
    Payment,
    Refund,
)
from csf.dates import local_date
from csf.models import Instance, StaffTask
from enrollments.models import Enrollment, User
from notifications import tasks as email_tasks
from notifications.models import EmailMessage
from orders.models import Order
from tests.conftest import ROOT
from tests.factories import create_household, create_order, create_staff
from tests.restored import other_database
from tests.shop import Shop, accept, open_page, order_with_plan, script
from tests.stripe_events import deliver
from tests.waitlist import free, full_class, join

pytestmark = [pytest.mark.drill, pytest.mark.processes, pytest.mark.usefixtures("committed_db")]

JOBS = [
    *("send_installment_reminders", "send_card_notices", "send_class_reminders"),
    *("charge_due_installments", "retry_failed_payments", "process_overdue_installments"),
]
SIGN_UP = {"first_name": "Maria", "last_name": "Lopez", "password1": "a-long-secret-2026"}
DISPUTED = "4000000000000259"


def steps():
    """The commands of "A backup that becomes production", as they stand on the page."""
    page = (ROOT / "docs" / "operations.md").read_text()
    chapter = page.partition("**A backup that becomes production**")[2].partition("\n## ")[0]
    return re.findall(r"`manage\.py ([^`]+)`", chapter)


def run(line, *, file):
    """As an operator types it. Differences between the books end with exit code 1, and are no failure."""
    arguments = [str(file) if word == "FILE" else word for word in line.split()]
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == ("--books" in arguments), (line, done.stdout, done.stderr)
    return done.stdout


def work():
    """What the cluster does in a minute, until nothing is left to do."""
    for _ in range(3):
        while billing_tasks.process_due_events():
            pass
        billing_tasks.sweep_charges()
        billing_tasks.charge_waiting()
        billing_tasks.sweep_refunds()
        billing_tasks.close_classes()
        billing_tasks.refund_waiting()
        billing_tasks.sweep_holds()
        billing_tasks.sweep_waitlist()
        EmailMessage.objects.filter(status="queued").update(next_attempt_at=timezone.now())  # none waits
        email_tasks.drain()


def jobs():
    """In the day's order."""
    for job in JOBS:
        call_command("run_job", job)
    work()


class Town:
    """A shop whose families, and Stripe, go on after its last backup."""

    def __init__(self, server):
        self.shop = Shop(server)
        self.heard = set()

    def hear(self):
        """Stripe's webhooks, and what follows from them."""
        for event in self.shop.events():
            if event["id"] not in self.heard:
                assert deliver(event) == 200
                self.heard.add(event["id"])
        work()

    def family(self, *, due_in_days=30):
        """With an order whose first part is paid; the second one is due then."""
        part = order_with_plan(self.shop)
        self.heard |= {event["id"] for event in self.shop.events("payment_intent.succeeded")}
        due_on = local_date(timezone.now()) + timedelta(days=due_in_days)
        Installment.objects.filter(pk=part.pk).update(due_on=due_on)
        work()
        return Installment.objects.get(pk=part.pk)

    def before_the_backup(self):
        self.reminded = self.family(due_in_days=2)
        self.charged = self.family(due_in_days=0)
        self.declined = self.family(due_in_days=0)
        script(self.shop, self.declined, "insufficient_funds")
        self.not_charged = self.family(due_in_days=0)
        self.cancelling = self.family()
        self.refunded = self.family()
        self.asked_for = ask(self.charged, cents=300)
        self.unpaid, self.given_up = create_order(), create_order()
        self.page = open_page(self.unpaid)
        self.late, self.late_page = self._page()
        self.known = create_household(name="Known")
        course = full_class()
        self.waiting = join(create_household(name="Waiting"), course)
        free(course, by=create_staff())
        work()
        approve(refund=ask(self.refunded, cents=700), by=create_staff())
        Order.objects.filter(pk=self.given_up.pk).update(held_until=timezone.now())
        offered = Enrollment.objects.filter(pk=self.waiting.pk, status="offered")
        assert offered.update(expires_at=timezone.now())

    def _page(self):
        order = create_order()
        return order, open_page(order)

    def after_the_backup(self):
        """All of this is lost with the database."""
        late = Installment.objects.filter(pk=self.not_charged.pk)
        late.update(due_on=local_date(timezone.now()) + timedelta(days=30))
        jobs()
        self.hear()
        self.shop.pay(self.page)
        approve(refund=self.asked_for, by=create_staff())
        cancel_enrollment(
            enrollment=Enrollment.objects.get(order_item__order=self.cancelling.order),
            by=self.cancelling.order.household.lead,
            reason="moved away",
            now=timezone.now(),
        )
        for refund in Refund.objects.filter(status="requested"):
            approve(refund=refund, by=create_staff())
        self.hear()
        self._new_orders()
        self.shop.server.control("POST", "/_warnings", {"charge": self._charges()[-1]["id"]})
        self.hear()
        self.shop.pay(self.late_page)  # and its webhook finds nobody

    def _new_orders(self):
        """Of a family that the backup knows, and of families that it does not."""
        self.shop.pay(open_page(create_order(household=self.known)))
        new = self._signed_up("new@example.org")
        self.shop.pay(open_page(create_order(household=new)))
        self.shop.pay(open_page(create_order(household=self._signed_up("disputes@example.org"))), DISPUTED)
        self.family(due_in_days=0)
        self.hear()
        start_charges(["scheduled"], on=local_date(timezone.now()))
        self.hear()
        payment = Payment.objects.filter(order__household=new).get()
        approve(refund=ask(payment.installment, cents=900), by=create_staff())
        self.hear()

    def _signed_up(self, email):
        client = Client()
        client.post("/account/signup/", SIGN_UP | {"email": email})
        code = EmailMessage.objects.filter(kind="account_confirm_email", to=email).get().facts["code"]
        client.post("/account/confirm-email/", {"code": code})
        work()
        household = User.objects.get(email=email).household
        create_household().children.update(household=household)
        return household

    def _charges(self):
        return [row for row in self.shop.server.books()["charges"] if row["succeeded"]]


def ask(installment, cents):
    payment = installment.order.payments.order_by("pk").first()
    return ask_for_refund(payment=payment, cents=cents, reason="a session was cancelled", by=create_staff())


# --- What the stand-ins' books say --------------------------------------------------------------------------


def told(mail_server):
    """How many emails each person got of each kind and subject."""
    return Counter((*mail["to"], mail["kind"], mail["subject"]) for mail in mail_server.messages())


def moved(server):
    """Money that was taken and given back at Stripe."""
    books = server.books()
    taken = {row["id"]: row["amount_cents"] for row in books["charges"] if row["succeeded"]}
    given = {row["id"]: row["amount_cents"] for row in books["refunds"] if row["status"] == "succeeded"}
    return taken, given


def without_a_person(server):
    """What Stripe's books have, and neither our rows nor an open task with its link."""
    books = server.books()
    invoices = {row["payment_intent"]: row["id"] for rows in books["invoices"].values() for row in rows}
    ours = set(Payment.objects.values_list("stripe_payment_intent_id", flat=True))
    ours |= set(Payment.objects.values_list("stripe_invoice_id", flat=True))
    ours |= set(Refund.objects.values_list("stripe_refund_id", flat=True))
    ours |= set(Dispute.objects.values_list("stripe_id", flat=True))
    details = "\n".join(StaffTask.objects.open().filter(kind="books_differ").values_list("detail", flat=True))
    linked = {row.stripe_id for row in BookDifference.objects.open() if row.url in details}
    for charge in books["charges"]:
        intent = charge["payment_intent"]
        if charge["succeeded"] and not {intent, invoices.get(intent)} & (ours | linked):
            yield charge
    for row in [*books["refunds"], *books["disputes"]]:
        if row["id"] not in ours | linked:
            yield row


def lead_of(order):
    return order.household.lead.email


def explain_differences():
    """Staff, task by task."""
    for difference in BookDifference.objects.open():
        explain(difference=difference, by=create_staff(), reason="looked at")


def test_an_older_backup_becomes_production(stripe_server, mail_server, tmp_path):
    Instance.begin()
    accept()
    town = Town(stripe_server)
    town.before_the_backup()
    call_command("backup", tmp_path / "csf.dump")
    town.after_the_backup()
    mails, (taken, given) = told(mail_server), moved(stripe_server)
    assert {kind for _, kind, _ in mails} >= {
        *("order_confirmation", "payment_success", "enrollment_confirmation", "payment_failed", "welcome"),
        *("installment_reminder", "order_expired", "refund_issued", "cancellation_confirmation"),
        *("waitlist_offer", "waitlist_lapsed"),
    }
    connections.close_all()

    with other_database():
        said = [run(line, file=tmp_path / "csf.dump") for line in steps()]
        assert "days=" in said[-1]
        work()
        jobs()
        assert list(without_a_person(stripe_server)) == []
        explain_differences()
        run("check_invariants", file=None)

        taken_since = {pk: cents for pk, cents in moved(stripe_server)[0].items() if pk not in taken}
        assert list(taken_since.values()) == [town.not_charged.amount_cents]
        assert moved(stripe_server)[1] == given
        new = [(to, kind) for to, kind, _ in (told(mail_server) - mails).elements()]
        assert new == [(lead_of(town.not_charged.order), "payment_success")]
        withheld = set(EmailMessage.objects.filter(status="withheld").values_list("to", "kind"))
        assert withheld >= {
            (lead_of(town.late), "payment_success"),  # nobody was told: a person decides
            (lead_of(town.unpaid), "enrollment_confirmation"),
            (lead_of(town.given_up), "order_expired"),
            (lead_of(town.reminded.order), "installment_reminder"),
            (lead_of(town.declined.order), "payment_failed"),
            (lead_of(town.refunded.order), "refund_issued"),
        }
        assert StaffTask.objects.open().filter(kind="emails_withheld").count() == 1
        assert town.declined.attempts.filter(status="declined").count() == 1
