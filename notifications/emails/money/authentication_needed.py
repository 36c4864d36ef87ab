"""The bank wants the parent to confirm a charge of the saved card."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter

from django.utils.translation import gettext_lazy as _

from billing.models import ChargeAttemptTransition, ChargeStatus, InstallmentStatus
from notifications.facts import charges
from notifications.facts.order_states import ALIVE
from notifications.facts.recipients import charged_family
from notifications.facts.samples import BARE, HOSTILE_FAMILY, HUGE, installment
from notifications.facts.snapshots import attempt_facts, installment_story, installment_with_story
from notifications.spec import Email, RequiredFor, Snapshot, Trigger, after


def snapshot(fact: ChargeAttemptTransition) -> Snapshot:
    return installment_story(installment_with_story(fact)) | attempt_facts(fact)


def owes(moved: ChargeAttemptTransition) -> bool:
    return moved.to_status == ChargeStatus.NEEDS_AUTH and not charges.is_for_waitlist_seat(moved)


def still_unconfirmed(facts: Iterable[int]) -> set[int]:
    waiting = ChargeAttemptTransition.objects.filter(
        pk__in=facts,
        chargeattempt__installment__status=InstallmentStatus.NEEDS_AUTH,
        chargeattempt__installment__order__status__in=ALIVE,
    )
    return set(waiting.values_list("pk", flat=True))


EMAIL = Email(
    kind="authentication_needed",
    title=_("Payment needs confirmation"),
    when="the bank wants the parent to confirm a charge",
    topic="money",
    trigger=Trigger(ChargeAttemptTransition, owes=owes, order=charges.ORDER),
    required_for=RequiredFor(
        charges.OF_PLACED_ORDERS.filter(to_status="needs_auth"),
        household=f"{charges.ORDER}__household",
        about="chargeattempt",
    ),
    recipients=charged_family,
    family=attrgetter(charges.FAMILY),
    snapshot=snapshot,
    key=charges.attempt_key,
    accent="red",
    is_copy_harmless=True,
    expires=after(timedelta(days=7)),
    priority=3,
    still_true=still_unconfirmed,
    samples={
        "minimal": installment(**BARE, status="needs_auth"),
        "typical": installment(status="needs_auth"),
        "huge": installment(**HUGE, status="needs_auth"),
        "hostile": installment(**HOSTILE_FAMILY, status="needs_auth"),
    },
)
