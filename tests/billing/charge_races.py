"""A charge and what others do at the same moment: what came of it, and a job without its second look."""

from billing.installments.charging import charge_waiting
from billing.installments.dunning import start_charges
from billing.models import ChargeAttempt, Installment, Payment
from notifications.models import EmailMessage
from tests.hosted_page import invoice_page
from tests.shop import DUE, money_moved

AT_ONCE = 4


def fresh(installment):
    return Installment.objects.get(pk=installment.pk)


def outcome(shop, installment):
    """Money in Stripe's books, payments, emails about them, attempts, and the installment itself."""
    payments = Payment.objects.filter(order=installment.order_id).exclude(stripe_invoice_id=None)
    mails = EmailMessage.objects.filter(kind="payment_success", fact_id__in=payments.values("pk"))
    return (
        len(money_moved(shop, installment)),
        payments.count(),
        mails.count(),
        [attempt.status for attempt in installment.attempts.all()],
        fresh(installment).status,
    )


def job(installment):
    report = start_charges(DUE, on=installment.due_on)
    charge_waiting()
    return report


def page_of(installment):
    return invoice_page(fresh(installment))


def start_without_looking(wanted, *, kind, on):
    """`dunning._start` without any of its guards."""
    ids = [installment.pk for installment, _ in wanted]
    Installment.objects.filter(pk__in=ids).update(status="charging", next_try_on=None)
    return [
        ChargeAttempt.objects.create(
            installment=installment,
            number=ChargeAttempt.objects.filter(installment=installment).count() + 1,
            kind=kind,
            amount_cents=installment.amount_cents,
            currency="usd",
            charged_on=on,
            card=card,
        )
        for installment, card in wanted
    ]


def asked_to_pay(shop):
    return [post for post in shop.server.books()["posts"] if post["path"].endswith("/pay")]
