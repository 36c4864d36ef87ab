"""Whether the season left everything right: the families' own notes and the stand-ins' books on one side, the
product's tables on the other. Neither side was written from the other."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from billing.models import Dispute, Payment, Refund
from csf.models import StaffTask
from csf.proofs.invariants import violations
from demo.season.family import Family, local
from demo.season.world import Json, Mail, Stripe
from enrollments.models import Child, Enrollment, EnrollmentStatus


@dataclass(frozen=True)
class Difference:
    text: str
    link: str = ""


def differences(people: list[Family], stripe: Stripe, mail: Mail, *, until: datetime) -> list[Difference]:
    return [
        *_broken_rules(),
        *_money(stripe),
        *_disputes(stripe),
        *_consents(people, stripe, until),
        *_refunds(people, stripe, until),
        *_emails(people, mail, until),
        *_places(people),
        *_tasks(),
    ]


def _broken_rules() -> Iterator[Difference]:
    for found in violations():
        yield Difference(f"{found.number} {found.broken}: {', '.join(map(str, found.ids[:10]))}")


def _money(stripe: Stripe) -> Iterator[Difference]:
    """Each cent of Stripe's is here, and each cent here is Stripe's."""
    books = stripe.server.books()
    invoices = {row["payment_intent"]: row["id"] for rows in books["invoices"].values() for row in rows}
    charges = [row for row in books["charges"] if row["succeeded"]]
    paid = {
        invoices.get(row["payment_intent"]) or row["payment_intent"]: row["amount_cents"] for row in charges
    }
    ours: dict[Any, int] = {
        payment.stripe_invoice_id or payment.stripe_payment_intent_id: payment.amount_cents
        for payment in Payment.objects.all()
    }
    for key in sorted(paid.keys() | ours.keys()):
        if paid.get(key) != ours.get(key):
            link = reverse("admin:billing_payment_changelist") + f"?q={key}"
            yield Difference(f"{key}: {paid.get(key)} cents at Stripe, {ours.get(key)} here", link)
    returned = {
        row["id"]: row["amount_cents"]
        for row in books["refunds"]
        if row["status"] in ("pending", "succeeded")
    }
    refunds: dict[Any, int] = dict(
        Refund.objects.filter(stripe_refund_id__gt="")
        .filter(status__in=["succeeded", "pending"])
        .values_list("stripe_refund_id", "amount_cents")
    )
    for refund in sorted(returned.keys() | refunds.keys()):
        if returned.get(refund) != refunds.get(refund):
            link = reverse("admin:billing_refund_changelist") + f"?q={refund}"
            yield Difference(
                f"{refund}: {returned.get(refund)} cents at Stripe, {refunds.get(refund)} here", link
            )


def _disputes(stripe: Stripe) -> Iterator[Difference]:
    theirs = {row["id"]: (row["status"], row["amount_cents"]) for row in stripe.server.books()["disputes"]}
    ours = {row.stripe_id: (row.status, row.amount_cents) for row in Dispute.objects.all()}
    for dispute in sorted(theirs.keys() | ours.keys()):
        if theirs.get(dispute) != ours.get(dispute):
            link = reverse("admin:billing_dispute_changelist") + f"?q={dispute}"
            yield Difference(f"{dispute}: {theirs.get(dispute)} at Stripe, {ours.get(dispute)} here", link)


def _consents(people: list[Family], stripe: Stripe, until: datetime) -> Iterator[Difference]:
    """Each charge is one that the family agreed to, on the day or later, and none that was due is missing."""
    charged = _charges(stripe)
    for family in people:
        open_ = sorted(family.agreed, key=lambda due: due.on)
        for cents, at in charged.pop(family.email, []):
            due = next((due for due in open_ if due.cents == cents and due.on <= local(at).date()), None)
            if due is None:
                yield Difference(f"{family.email} was charged {cents} cents on {local(at):%F}, not agreed")
            else:
                open_.remove(due)
        for due in open_:
            if due.is_sure and due.falls_at <= until:
                yield Difference(f"{family.email} was not charged {due.cents} cents on {due.on}")
    for email, rows in charged.items():
        yield Difference(f"{email or 'somebody'}, who is nobody here, was charged {rows}")


def _refunds(people: list[Family], stripe: Stripe, until: datetime) -> Iterator[Difference]:
    """What the pages promised went back, and nothing else."""
    customers: dict[str, Json] = stripe.server.state.store.tables["customer"]
    returned: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for row in stripe.server.books()["refunds"]:
        returned[customers.get(row["customer"] or "", {}).get("email", "")][row["amount_cents"]] += 1
    for family in people:
        promised = Counter(due.cents for due in family.refunds if due.on <= local(until).date())
        if returned[family.email] != promised:
            yield Difference(f"{family.email} got back {dict(returned[family.email])}, not {dict(promised)}")


def _charges(stripe: Stripe) -> dict[str, list[tuple[int, datetime]]]:
    """By the address of the customer, the oldest first."""
    customers: dict[str, Json] = stripe.server.state.store.tables["customer"]
    found = defaultdict(list)
    for row in sorted(stripe.server.books()["charges"], key=lambda row: row["at"]):
        if row["succeeded"]:
            customer = customers.get(row["customer"] or "", {})
            found[customer.get("email", "")].append(
                (row["amount_cents"], datetime.fromtimestamp(row["at"], UTC))
            )
    return found


def _emails(people: list[Family], mail: Mail, until: datetime) -> Iterator[Difference]:
    """Each fact has its email, and each email one cause."""
    for family in people:
        expected = Counter(note.kind for note in family.hears if note.at < until)
        heard = mail.kinds(family.email)
        link = f"{mail.server.url}/?to={family.email}"
        for kind, number in sorted((heard - expected).items()):
            yield Difference(f"{family.email} got {number} {kind} without a cause", link)
        for kind, number in sorted((expected - heard).items()):
            causes = ", ".join(
                f"{local(note.at):%b %d %H:%M} {note.why}"
                for note in family.hears
                if note.kind == kind and note.at < until
            )
            yield Difference(f"{family.email} got {number} {kind} too few: {causes}", link)


def _places(people: list[Family]) -> Iterator[Difference]:
    """Each child has the places that its family knows of, and no seat is taken twice."""
    active = Enrollment.objects.filter(status=EnrollmentStatus.ACTIVE).select_related("child", "course")
    seats = Counter((row.course_id, row.seat_number) for row in active)
    for (course, seat), number in seats.items():
        if number > 1:
            yield Difference(f"seat {seat} of class {course} is taken {number} times")
    emails = {
        child.pk: child.household.guardians.get().email for child in Child.objects.select_related("household")
    }
    here = Counter((emails[row.child_id], row.child.first_name, row.course.title) for row in active)
    known = Counter(
        (family.email, child.first_name, offer.title) for family in people for child, offer in family.places
    )
    for place in (here - known) + (known - here):
        yield Difference(f"{' '.join(place)}: {here[place]} places here, {known[place]} in the story")


def _tasks() -> Iterator[Difference]:
    for task in StaffTask.objects.open():
        if str(task) == task.kind:
            link = settings.SITE_URL + reverse("admin:csf_stafftask_change", args=[task.pk])
            yield Difference(f"task {task.pk} does not say what it is about", link)
