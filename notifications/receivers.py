"""Which fact calls for which email. Receivers look at `created and not raw` and call `notify`; they change
nothing."""

from collections import defaultdict
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.conf import settings
from django.db.models import Model
from django.db.models.signals import post_save
from django.dispatch import receiver

from enrollments.models import EnrollmentTransition
from notifications.bundling import bundle_order
from notifications.delivery import suppression
from notifications.emails.accounts import welcome
from notifications.emails.places import enrollment_confirmation
from notifications.outbox import notify
from notifications.registry import EMAILS
from notifications.spec import Email, Trigger

TRIGGERED: defaultdict[type[Model], list[tuple[Email, Trigger]]] = defaultdict(list)
for email in EMAILS.values():
    if email.trigger:
        TRIGGERED[email.trigger.row].append((email, email.trigger))


def row_written(sender: type[Model], instance: Any, created: bool, raw: bool, **kwargs: Any) -> None:
    if created and not raw:
        for email, trigger in TRIGGERED[sender]:
            if trigger.owes(instance):
                notify(email.kind, trigger.facts(instance))


for row in TRIGGERED:
    post_save.connect(row_written, sender=row, dispatch_uid="notifications.row_written")


@receiver(post_save, sender=EnrollmentTransition, dispatch_uid="notifications.place_confirmed")
def place_confirmed(instance: EnrollmentTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    """After `row_written`, which queues the emails that the bundle replaces."""
    if created and not raw and settings.EMAIL_BUNDLE_ORDERS and enrollment_confirmation.owes(instance):
        bundle_order(instance)


@receiver(email_confirmed, dispatch_uid="notifications.address_confirmed")
def address_confirmed(email_address: EmailAddress, **kwargs: Any) -> None:
    suppression.address_confirmed(email_address.email)
    if email_address.user.signed_up_at:
        notify(welcome.EMAIL.kind, [email_address.user])
