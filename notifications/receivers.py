"""Which fact owes which email. Receivers look at `created and not raw` and call `notify`; they change
nothing."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.db.models.signals import post_save
from django.dispatch import receiver

from billing.models import ChargeAttemptTransition, ChargeStatus, Payment
from enrollments.models import EnrollmentStatus, EnrollmentTransition
from notifications.kinds import EmailKind
from notifications.outbox import notify
from orders.models import OrderStatus, OrderTransition

KIND_BY_ORDER_STATUS = {OrderStatus.PLACED: EmailKind.ORDER_CONFIRMATION}
KIND_BY_CHARGE_STATUS = {
    ChargeStatus.DECLINED: EmailKind.PAYMENT_FAILED,
    ChargeStatus.NEEDS_AUTH: EmailKind.AUTHENTICATION_NEEDED,
}
KIND_BY_ENROLLMENT_STATUS = {
    EnrollmentStatus.ACTIVE: EmailKind.ENROLLMENT_CONFIRMATION,
    EnrollmentStatus.CANCELLED: EmailKind.CANCELLATION_CONFIRMATION,
}


@receiver(post_save, sender=OrderTransition, dispatch_uid="notifications.order_moved")
def order_moved(instance: OrderTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    kind = KIND_BY_ORDER_STATUS.get(OrderStatus(instance.to_status))
    if created and not raw and kind:
        notify(kind, [instance])


@receiver(post_save, sender=EnrollmentTransition, dispatch_uid="notifications.enrollment_moved")
def enrollment_moved(instance: EnrollmentTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    kind = KIND_BY_ENROLLMENT_STATUS.get(EnrollmentStatus(instance.to_status))
    if created and not raw and kind:
        notify(kind, [instance])


@receiver(post_save, sender=ChargeAttemptTransition, dispatch_uid="notifications.charge_moved")
def charge_moved(instance: ChargeAttemptTransition, created: bool, raw: bool, **kwargs: Any) -> None:
    kind = KIND_BY_CHARGE_STATUS.get(ChargeStatus(instance.to_status))
    if created and not raw and kind:
        notify(kind, [instance])


@receiver(post_save, sender=Payment, dispatch_uid="notifications.payment_received")
def payment_received(instance: Payment, created: bool, raw: bool, **kwargs: Any) -> None:
    if created and not raw:
        notify(EmailKind.PAYMENT_SUCCESS, [instance])


@receiver(email_confirmed, dispatch_uid="notifications.address_confirmed")
def address_confirmed(email_address: EmailAddress, **kwargs: Any) -> None:
    if email_address.user.signed_up_at:
        notify(EmailKind.WELCOME, [email_address.user])
