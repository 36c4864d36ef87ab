"""Which fact owes which email. Receivers look at `created and not raw` and call `notify`; they change
nothing."""

from collections import defaultdict
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.conf import settings
from django.db.models import Model
from django.db.models.signals import post_save
from django.dispatch import receiver

from billing.models import (
    CancellationStatus,
    CancellationTransition,
)
from enrollments.models import EnrollmentTransition
from notifications.bundling import bundle_order
from notifications.kinds import EmailKind
from notifications.outbox import notify
from notifications.registry import CONVERTED
from notifications.sending import suppression
from notifications.spec import Email, Trigger
from notifications.which import enrollment_kind


def row_written(sender: type[Model], instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    if created and not raw:
        for email, trigger in TRIGGERED[sender]:
            if trigger.owes(instance):
                notify(email.kind, trigger.facts(instance))


TRIGGERED: defaultdict[type[Model], list[tuple[Email, Trigger]]] = defaultdict(list)
for email in CONVERTED.values():
    if email.trigger:
        TRIGGERED[email.trigger.row].append((email, email.trigger))
for row in TRIGGERED:
    post_save.connect(row_written, sender=row, dispatch_uid="notifications.row_written")


@receiver(post_save, sender=EnrollmentTransition, dispatch_uid="notifications.enrollment_moved")
def enrollment_moved(instance: EnrollmentTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    if created and not raw and (kind := enrollment_kind(instance)):
        notify(kind, [instance])
        if kind == EmailKind.ENROLLMENT_CONFIRMATION and settings.EMAIL_BUNDLE_ORDERS:
            bundle_order(instance)


@receiver(post_save, sender=CancellationTransition, dispatch_uid="notifications.cancellation_settled")
def cancellation_settled(instance: CancellationTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    if created and not raw and instance.to_status == CancellationStatus.SETTLED:
        notify(EmailKind.CANCELLATION_CONFIRMATION, [instance])


@receiver(email_confirmed, dispatch_uid="notifications.address_confirmed")
def address_confirmed(email_address: EmailAddress, **kwargs: Any) -> None:
    suppression.address_confirmed(email_address.email)
    if email_address.user.signed_up_at:
        notify(EmailKind.WELCOME, [email_address.user])
