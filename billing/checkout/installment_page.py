"""Paying one installment early, on a Stripe page that leads back to us.

An installment could be paid twice: by its invoice and on this page. So only one of them can be paid at a
time: the invoice is confirmed closed before the page opens, and while the page is open the installment is
being charged, so no job and no member of staff can start another charge. If the page closes without a
payment, the installment is restored, and its next charge makes a new invoice.
"""

import datetime

from django.db import transaction

from billing.checkout.payable import NotPayable, refuse_unless_payable
from billing.checkout.payment_page import SESSION_LIFE, close_page, is_still_open, open_page
from billing.installments.attempts import ask_again
from billing.installments.invoices import closed_invoice, has_open_invoice
from billing.ledger.locks import lock_installment
from billing.ledger.signed_links import pay_link_path
from billing.models import ChargeAttempt, ChargeKind, Installment
from billing.stripe.page_calls import StripeUnavailable, asking_stripe
from csf.database.retry import again_after_deadlock
from csf.dates import local_date
from enrollments.models import User


def installment_page(installment: Installment, *, by: User | None, now: datetime.datetime) -> str:
    """The address of the page where this installment can be paid; the open page again if there is one.

    `by` is None for someone who came by the link in an email. Raises NotPayable, StripeUnavailable or
    PageRefused."""
    attempt = installment.attempts.payable().order_by("-number").first()
    if attempt is None:
        ask_again(installment.order)
        _close_invoice(installment, now)
        attempt = _start(installment, by=by, now=now)
    elif attempt.stripe_session_id and not (attempt.can_take_money(now) and is_still_open(attempt)):
        close_page(attempt)
        return installment_page(Installment.objects.get(pk=installment.pk), by=by, now=now)
    if attempt.can_take_money(now):
        return attempt.session_url
    return open_page(attempt)


def _close_invoice(installment: Installment, now: datetime.datetime) -> None:
    _refuse_if_not_payable(installment, now)
    with asking_stripe(installment):
        if has_open_invoice(installment):
            closed_invoice(installment)


@again_after_deadlock
@transaction.atomic
def _start(installment: Installment, *, by: User | None, now: datetime.datetime) -> ChargeAttempt:
    """The attempt whose page is to be opened: a new one, or that of another press of the button."""
    installment = lock_installment(installment)
    if started := installment.attempts.payable().first():
        return started
    _refuse_if_not_payable(installment, now)
    if installment.stripe_invoice_id and not installment.invoice_closed_at:
        raise StripeUnavailable  # a charge made it meanwhile, and ended: the next press closes it
    status_before, next_try_before = installment.status, installment.next_try_on
    installment.start_charging(by=by, reason=ChargeKind.PAGE.label)
    return ChargeAttempt.objects.create(
        installment=installment,
        number=installment.attempts.count() + 1,
        kind=ChargeKind.PAGE,
        amount_cents=installment.amount_cents,
        currency=installment.order.currency,
        session_expires_at=(now + SESSION_LIFE).replace(microsecond=0),
        return_path=pay_link_path(installment),
        status_before=status_before,
        next_try_before=next_try_before,
    )


def _refuse_if_not_payable(installment: Installment, now: datetime.datetime) -> None:
    refuse_unless_payable(installment, on=local_date(now))
    if installment.attempts.under_way().exists():
        raise NotPayable("An earlier payment is still being processed. Please check again in a few minutes.")
