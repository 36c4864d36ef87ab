"""Installments of confirmed orders that are due soon, one or many."""

from datetime import date, timedelta

from billing.models import Card, CardAgreement, Installment, InstallmentStatus
from notifications.models import EmailMessage
from orders.models import Order
from tests.bench.rows import create_courses, create_families, create_orders
from tests.factories import create_card, create_consent, create_order

DUE = date(2027, 3, 20)
DAY = timedelta(days=1)


def create_part(*, due_on=DUE, card=True, consent=True, **fields):
    """The second of three parts of a confirmed order, the first one paid."""
    order = create_order()
    order.installments.update(status=InstallmentStatus.PAID)
    order.confirm(reason="paid")
    if card:
        create_card(order)
    agreed = {"order": order, "consent": create_consent(order) if consent else None}
    fields = {"due_on": due_on, "amount_cents": 5_000} | fields
    Installment.objects.create(number=3, due_on=due_on + 90 * DAY, amount_cents=4_000, **agreed)
    part = Installment.objects.create(number=2, **agreed, **fields)
    EmailMessage.objects.all().delete()
    return part


def create_parts(count):
    """As many orders with a part that is due, in bulk."""
    guardians = create_families(count)
    create_orders(guardians, create_courses(4))
    Order.objects.update(status="confirmed")
    orders = list(Order.objects.filter(household__guardians__in=guardians))
    Installment.objects.bulk_create(
        Installment(order=order, number=2, due_on=DUE, amount_cents=5_000, consent=create_consent(order))
        for order in orders
    )
    cards = Card.objects.bulk_create(
        Card(
            household_id=order.household_id,
            stripe_payment_method_id=f"pm_{order.pk}",
            exp_month=1,
            exp_year=2027,
        )
        for order in orders
    )
    CardAgreement.objects.bulk_create(
        CardAgreement(order=order, card=card, agreed_by=order.placed_by, agreed_at=order.placed_at)
        for order, card in zip(orders, cards, strict=True)
    )


def mails(kind):
    return EmailMessage.objects.filter(kind=kind)
