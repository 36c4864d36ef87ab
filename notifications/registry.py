"""The list of all emails: for each kind, whom it goes to, what it says, its key, and when it is worth
nothing."""

import pkgutil
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from importlib import import_module
from operator import attrgetter

from django.conf import settings
from django.db import models
from django.urls import reverse

from billing.models import (
    Card,
    ChargeAttemptTransition,
    Installment,
    InstallmentStatus,
    InstallmentTransition,
    RefundStatus,
    RefundTransition,
)
from csf import clock
from csf.dates import start_of_day
from csf.jobs.queue import daily_run_at
from enrollments.models import EnrollmentTransition, User
from notifications import emails
from notifications.facts import changes, closing, invitations, waitlist
from notifications.facts.charges import attempt_key
from notifications.facts.due import (
    DueInstallment,
    ExpiringCard,
    OverdueInstallment,
    upcoming,
    waiting_for_parent,
)
from notifications.facts.order_states import ALIVE
from notifications.facts.recipients import (
    charged_family,
    enrolled_family,
    guardians,
    its_recipients,
    order_family,
    waiting_family,
)
from notifications.facts.snapshots import (
    authentication_snapshot,
    cancellation_snapshot,
    card_needed_snapshot,
    card_snapshot,
    card_stopped_snapshot,
    enrollment_snapshot,
    overdue_snapshot,
    refund_snapshot,
    reminder_snapshot,
)
from notifications.facts.starting import CLASS_STARTS_SOON
from notifications.kinds import EmailKind
from notifications.office.family_messages import FAMILY_MESSAGES
from notifications.spec import AWAITED, Email, EmailSpec
from notifications.watch.staff_alert import STAFF_ALERT
from orders.models import OrderStatus


def _still_unconfirmed(facts: Iterable[int]) -> set[int]:
    waiting = ChargeAttemptTransition.objects.filter(
        pk__in=facts,
        chargeattempt__installment__status=InstallmentStatus.NEEDS_AUTH,
        chargeattempt__installment__order__status__in=ALIVE,
    )
    return set(waiting.values_list("pk", flat=True))


def _still_needs_card(facts: Iterable[int]) -> set[int]:
    moved = InstallmentTransition.objects.filter(
        pk__in=facts,
        installment__status=InstallmentStatus.NEEDS_CARD,
        installment__held_at=None,
        installment__order__charges_paused_at=None,
        installment__order__status=OrderStatus.CONFIRMED,
    )
    return set(moved.values_list("pk", flat=True))


def _still_refunded(facts: Iterable[int]) -> set[int]:
    went = RefundTransition.objects.filter(pk__in=facts, refund__status=RefundStatus.SUCCEEDED)
    return set(went.values_list("pk", flat=True))


def _still_upcoming(facts: Iterable[int]) -> set[int]:
    return set(upcoming().filter(pk__in=facts).values_list("pk", flat=True))


def _still_waiting(facts: Iterable[int]) -> set[int]:
    return set(waiting_for_parent().filter(pk__in=facts).values_list("pk", flat=True))


def _card_is_still_used(facts: Iterable[int]) -> set[int]:
    return set(Card.objects.usable().filter(pk__in=facts).values_list("pk", flat=True))


def _refunded_family(fact: RefundTransition) -> list[User]:
    return guardians(fact.refund.order.household)


def _refund_key(fact: RefundTransition) -> str:
    return f"refund:{fact.refund_id}"


def _reminder_key(fact: DueInstallment) -> str:
    return f"installment:{fact.pk}:{fact.installment.due_on}"


def _overdue_key(fact: OverdueInstallment) -> str:
    # With the date: one that staff have moved may be missed again.
    return f"installment:{fact.pk}:overdue:{fact.installment.due_on}:{fact.stage_days}"


def _card_key(fact: ExpiringCard) -> str:
    return f"card:{fact.pk}:{fact.due_on}:{fact.notice_days}"


def _first_reminder_at(fact: DueInstallment) -> datetime:
    installment: Installment = fact.installment
    first_on = installment.due_on - timedelta(days=max(settings.REMINDER_DAYS, default=0))
    return max(daily_run_at("send_installment_reminders", on=first_on), installment.created_at)


def _overdue_notice_at(fact: OverdueInstallment) -> datetime:
    return daily_run_at("process_overdue_installments", on=fact.stage_on)


def _card_notice_at(fact: ExpiringCard) -> datetime:
    first_on = fact.due_on - timedelta(days=fact.notice_days)
    return max(daily_run_at("send_card_notices", on=first_on), fact.card.saved_at)


def _in(delay: timedelta) -> Callable[[models.Model], datetime]:
    return lambda fact: clock.now() + delay


def _first_session(fact: EnrollmentTransition) -> datetime | None:
    """The first that the family can come to. Who pays minutes before it wants the email all the same."""
    now = clock.now()
    to_come = [row.starts_at for row in fact.enrollment.course.sessions.all() if row.starts_at > now]
    return max(to_come[0], now + timedelta(hours=24)) if to_come else None


def _account_spec(*, is_sensitive: bool, priority: int) -> EmailSpec:
    """For the events of `notifications.accounts`. Codes overtake everything: somebody waits at the page."""
    return EmailSpec(
        recipients=lambda event: [event.recipient],
        snapshot=lambda event: event.facts,
        key=lambda event: event.key,
        accent="grey",
        is_copy_harmless=False,
        expires=lambda event: event.expires_at,
        priority=priority,
        is_sensitive=is_sensitive,
    )


def _declared() -> Iterator[Email]:
    for module in pkgutil.iter_modules(emails.__path__):
        yield import_module(f"{emails.__name__}.{module.name}").EMAIL


CONVERTED = {email.kind: email for email in _declared()}

EMAILS: dict[str, EmailSpec] = {
    EmailKind.CARD_STOPPED: EmailSpec(
        recipients=lambda fact: guardians(fact.card.household, and_who=fact.by),
        family=attrgetter("card.household_id"),
        snapshot=card_stopped_snapshot,
        key=lambda fact: f"card_stop:{fact.pk}",
        accent="orange",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.CARD_NEEDED: EmailSpec(
        recipients=lambda fact: guardians(fact.installment.order.household),
        family=attrgetter("installment.order.household_id"),
        snapshot=card_needed_snapshot,
        key=lambda fact: f"installment:{fact.installment_id}:card:{fact.pk}",
        accent="red",
        is_copy_harmless=True,
        expires=_in(timedelta(days=3)),
        priority=3,
        still_true=_still_needs_card,
    ),
    EmailKind.AUTHENTICATION_NEEDED: EmailSpec(
        recipients=charged_family,
        family=attrgetter("chargeattempt.installment.order.household_id"),
        snapshot=authentication_snapshot,
        key=attempt_key,
        accent="red",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
        priority=3,
        still_true=_still_unconfirmed,
    ),
    EmailKind.INSTALLMENT_REMINDER: EmailSpec(
        recipients=its_recipients,
        family=attrgetter("installment.order.household_id"),
        snapshot=reminder_snapshot,
        key=_reminder_key,
        happened_at=_first_reminder_at,
        accent="orange",
        is_copy_harmless=True,
        expires=lambda fact: start_of_day(fact.installment.due_on),
        group="service",
        still_true=_still_upcoming,
    ),
    EmailKind.OVERDUE_NOTICE: EmailSpec(
        recipients=its_recipients,
        family=attrgetter("installment.order.household_id"),
        snapshot=overdue_snapshot,
        key=_overdue_key,
        happened_at=_overdue_notice_at,
        accent="red",
        is_copy_harmless=True,
        expires=_in(timedelta(days=3)),
        still_true=_still_waiting,
    ),
    EmailKind.CARD_EXPIRING: EmailSpec(
        recipients=its_recipients,
        family=attrgetter("card.household_id"),
        snapshot=card_snapshot,
        key=_card_key,
        happened_at=_card_notice_at,
        accent="orange",
        is_copy_harmless=True,
        expires=lambda fact: start_of_day(fact.due_on),
        still_true=_card_is_still_used,
    ),
    EmailKind.ENROLLMENT_CONFIRMATION: EmailSpec(
        recipients=enrolled_family,
        family=attrgetter("enrollment.child.household_id"),
        snapshot=enrollment_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}",
        accent="blue",
        is_copy_harmless=True,
        expires=_first_session,
    ),
    EmailKind.CANCELLATION_CONFIRMATION: EmailSpec(
        recipients=lambda fact: guardians(fact.cancellation.order.household),
        family=attrgetter("cancellation.order.household_id"),
        snapshot=cancellation_snapshot,
        key=lambda fact: f"enrollment:{fact.cancellation.enrollment_id}:cancelled",
        accent="grey",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.CLASS_STARTS_SOON: CLASS_STARTS_SOON,
    EmailKind.SESSION_CANCELLED: EmailSpec(
        recipients=closing.family,
        family=attrgetter("closureline.enrollment.child.household_id"),
        snapshot=closing.session_snapshot,
        key=closing.key,
        accent="orange",
        is_copy_harmless=True,
        expires=closing.expires,
        priority=2,
        still_true=closing.still_enrolled,
    ),
    EmailKind.REFUND_ISSUED: EmailSpec(
        recipients=_refunded_family,
        family=attrgetter("refund.order.household_id"),
        snapshot=refund_snapshot,
        key=_refund_key,
        accent="green",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
        still_true=_still_refunded,
    ),
    EmailKind.REFUND_REJECTED: EmailSpec(
        recipients=_refunded_family,
        family=attrgetter("refund.order.household_id"),
        snapshot=refund_snapshot,
        key=_refund_key,
        accent="grey",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.CREDIT_ADDED: EmailSpec(
        recipients=lambda fact: guardians(fact.household),
        family=attrgetter("household_id"),
        snapshot=changes.credit_snapshot,
        key=lambda fact: f"credit:{fact.pk}",
        accent="green",
        is_copy_harmless=False,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.TRANSFER_CONFIRMATION: EmailSpec(
        recipients=order_family,
        family=attrgetter("order.household_id"),
        snapshot=changes.transfer_snapshot,
        key=lambda fact: f"transfer:{fact.pk}",
        accent="blue",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
        priority=3,
    ),
    EmailKind.WAITLIST_JOINED: EmailSpec(
        recipients=waiting_family,
        family=attrgetter("enrollment.child.household_id"),
        snapshot=waitlist.joined_snapshot,
        key=waitlist.joined_key,
        accent="blue",
        is_copy_harmless=True,
        group="service",
        expires=_in(timedelta(days=3)),
        still_true=waitlist.still_waiting,
    ),
    EmailKind.WAITLIST_OFFER: EmailSpec(
        recipients=waiting_family,
        family=attrgetter("enrollment.child.household_id"),
        snapshot=waitlist.offer_snapshot,
        key=lambda fact: f"enrollment:{fact.enrollment_id}:offer:{fact.pk}",
        accent="blue",
        is_copy_harmless=True,
        expires=waitlist.offer_expires,
        priority=2,
        still_true=waitlist.still_offered,
    ),
    EmailKind.WAITLIST_LAPSED: EmailSpec(
        recipients=waiting_family,
        family=attrgetter("enrollment.child.household_id"),
        snapshot=waitlist.lapsed_snapshot,
        key=waitlist.lapsed_key,
        accent="grey",
        is_copy_harmless=True,
        expires=_in(timedelta(days=3)),
    ),
    EmailKind.WAITLIST_PROMOTED: EmailSpec(
        recipients=order_family,
        family=attrgetter("order.household_id"),
        snapshot=waitlist.promoted_snapshot,
        key=lambda fact: f"order:{fact.order_id}:promoted",
        accent="green",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
        priority=3,
    ),
    EmailKind.WAITLIST_CHARGE_FAILED: EmailSpec(
        recipients=charged_family,
        family=attrgetter("chargeattempt.installment.order.household_id"),
        snapshot=waitlist.charge_failed_snapshot,
        key=attempt_key,
        accent="red",
        is_copy_harmless=True,
        expires=waitlist.charge_failed_expires,
        priority=2,
        still_true=waitlist.still_unpaid,
    ),
    **{str(kind): spec for kind, spec in FAMILY_MESSAGES.items()},
    EmailKind.STAFF_ALERT: STAFF_ALERT,
    EmailKind.WELCOME: EmailSpec(
        recipients=lambda user: [user],
        snapshot=lambda user: {"children_path": reverse("children")},
        key=lambda user: f"user:{user.pk}",
        accent="blue",
        is_copy_harmless=True,
        expires=_in(timedelta(days=7)),
    ),
    EmailKind.ACCOUNT_CONFIRM_EMAIL: _account_spec(is_sensitive=True, priority=AWAITED),
    EmailKind.ACCOUNT_LOGIN_CODE: _account_spec(is_sensitive=True, priority=AWAITED),
    EmailKind.ACCOUNT_PASSWORD_RESET: _account_spec(is_sensitive=True, priority=AWAITED),
    EmailKind.STAFF_INVITATION: _account_spec(is_sensitive=True, priority=AWAITED),
    EmailKind.ACCOUNT_NOTICE: _account_spec(is_sensitive=False, priority=2),
    **invitations.EMAILS,
    **CONVERTED,
}
