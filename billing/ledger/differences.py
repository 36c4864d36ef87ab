"""Where our books and Stripe's do not agree: each difference becomes a row and a task for staff."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction

from billing.models import BookDifference, StripeCustomer
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.currencies import decimals_of
from csf.models import StaffTask
from csf.money import money_text
from csf.refusal import NotPossible
from enrollments.models import Household, User


@transaction.atomic
def report(
    subject: BookDifference.Subject,
    stripe_id: str,
    *,
    ours: str = "",
    theirs: str = "",
    household: Household | None = None,
) -> None:
    """Open a difference and its task. What is open already, or was explained as it stands, stays as it is."""
    found, is_new = BookDifference.objects.select_for_update(of=("self",)).get_or_create(
        stripe_id=stripe_id,
        defaults={"subject": subject, "ours": ours, "theirs": theirs, "household": household},
    )
    is_the_same = (found.ours, found.theirs) == (ours, theirs)
    if not is_new and not is_the_same:
        found.ours, found.theirs = ours, theirs
        found.closed_at = found.closed_by = None
        found.explanation = ""
        found.save()
    elif found.closed_at and found.closed_by is None:  # both agreed in between
        found.closed_at = None
        found.save(update_fields=["closed_at"])
    if found.closed_at is None:
        StaffTask.open(MoneyTask.BOOKS_DIFFER, found, found.detail)


def report_unknown(subject: BookDifference.Subject, thing: Mapping[str, Any], cents: int) -> None:
    """Stripe has moved money in our name, and the rows that it names are not here."""
    report(
        subject,
        thing["id"],
        theirs=amount_text(cents, thing["currency"], thing["status"]),
        household=household_of(thing.get("customer")),
    )


@transaction.atomic
def agree(stripe_id: str) -> None:
    """Both books say the same by now."""
    for found in BookDifference.objects.open().filter(stripe_id=stripe_id):
        BookDifference.objects.filter(pk=found.pk).update(closed_at=Now())
        StaffTask.objects.about(found).open().update(closed_at=Now())


@transaction.atomic
def explain(*, difference: BookDifference, by: User, reason: str) -> None:
    """A person knows why, and has done what is to be done. Raises NotPossible."""
    if not reason.strip():
        raise NotPossible("Give a reason: it stays in the history.")
    opened = BookDifference.objects.open().filter(pk=difference.pk)
    if not opened.update(closed_at=Now(), closed_by=by, explanation=reason.strip()[:300]):
        raise NotPossible("It is already closed.")
    StaffTask.objects.about(difference).close(by=by)


def amount_text(cents: int, currency: str, status: str = "") -> str:
    """An amount for staff, in whatever currency; ours are shown as everywhere."""
    if currency == settings.CURRENCY:
        return f"{money_text(cents)} {status}".strip()
    decimals = decimals_of(currency)
    return f"{Decimal(cents).scaleb(-decimals):.{decimals}f} {currency.upper()} {status}".strip()


def household_of(customer: Any) -> Household | None:
    """The family that a customer at Stripe stands for, as far as we know."""
    stripe_id = customer["id"] if isinstance(customer, Mapping) else customer
    if not stripe_id:
        return None
    row = StripeCustomer.objects.filter(stripe_id=stripe_id).select_related("household").first()
    return row.household if row else None
