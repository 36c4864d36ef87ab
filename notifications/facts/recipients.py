"""Whom the emails go to."""

from typing import Any

from billing.models import ChargeAttemptTransition, Installment, InstallmentStatus, Payment
from enrollments.models import EnrollmentTransition, Household, User
from notifications.facts.readers import readers
from orders.models import OrderTransition


def guardians(household: Household, *, and_who: User | None = None) -> list[User]:
    """Whom a family's mail goes to, and the guardian who pressed the button if the email is their receipt."""
    people = list(readers().filter(household=household))
    is_theirs = and_who is not None and and_who.is_active and and_who.household_id == household.pk
    return [*people, and_who] if and_who and is_theirs and and_who not in people else people


def payer(installment: Installment | None) -> User | None:
    """Who opened the page that paid it last; None for what was charged by itself."""
    if installment is None:
        return None
    asked = installment.transitions.filter(to_status=InstallmentStatus.CHARGING)
    last = asked.select_related("by").order_by("-pk").first()
    return last.by if last else None


def order_family(fact: Any) -> list[User]:
    return guardians(fact.order.household)


def ordering_family(fact: OrderTransition) -> list[User]:
    return guardians(fact.order.household, and_who=fact.order.placed_by)


def paying_family(fact: Payment) -> list[User]:
    return guardians(fact.order.household, and_who=payer(fact.installment))


def charged_family(fact: ChargeAttemptTransition) -> list[User]:
    installment = fact.chargeattempt.installment
    return guardians(installment.order.household, and_who=payer(installment))


def enrolled_family(fact: EnrollmentTransition) -> list[User]:
    enrollment = fact.enrollment
    return guardians(enrollment.child.household, and_who=enrollment.order_item.order.placed_by)


def waiting_family(fact: EnrollmentTransition) -> list[User]:
    return guardians(fact.enrollment.child.household)


def its_recipients(fact: Any) -> list[User]:
    """Of a fact that was read together with them."""
    return list(fact.recipients)
