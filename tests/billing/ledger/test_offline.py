"""Cash and checks: also a part of an installment, with the check's number, and shown as what they are."""

import re
from html import unescape

import pytest
from django.urls import reverse
from django.utils import timezone

from billing.installments.staff_actions import record_offline
from billing.ledger.order_figures import with_figures
from billing.models import InstallmentStatus, Payment, PaymentMethod
from csf.refusal import NotPossible
from orders.models import Order
from tests.factories import create_order, create_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def part():
    """Of an order that stands: 144.00, due."""
    order = create_order()
    order.confirm(reason="agreed at the desk")
    return order.installments.get()


def record(part, cents=None, **options):
    options = {"method": PaymentMethod.CHECK, "received_at": timezone.now()} | options
    return record_offline(installment=part, by=create_staff(), reason="desk", cents=cents, **options)


def test_a_part_is_paid_and_the_rest_stays_due_on_the_same_day(part):
    payment = record(part, 5_000, check_number="1017")

    rows = list(part.order.installments.order_by("number").values_list("status", "amount_cents", "due_on"))
    assert rows == [
        ("cancelled", 14_400, part.due_on),
        ("paid", 5_000, part.due_on),
        ("scheduled", 9_400, part.due_on),
    ]
    assert (payment.amount_cents, payment.how) == (5_000, "check 1017")
    found = with_figures(Order.objects.all()).get()
    assert (found.price_cents, found.paid_cents, found.open_cents) == (14_400, 5_000, 9_400)

    rest = part.order.installments.get(status=InstallmentStatus.SCHEDULED)
    record(rest, 9_400, method=PaymentMethod.CASH)
    assert not part.order.installments.open().exists()
    assert sorted(payment.how for payment in Payment.objects.all()) == ["cash", "check 1017"]


@pytest.mark.parametrize("cents", [0, -100, 14_401, 14_399])
def test_an_amount_that_does_not_fit_is_refused_and_changes_nothing(part, cents):
    with pytest.raises(NotPossible):
        record(part, cents)

    assert [row.status for row in part.order.installments.all()] == ["scheduled"]
    assert not Payment.objects.exists()


def test_the_desk_types_amount_and_check_number_and_sees_them_again(part, client):
    client.force_login(create_staff())
    page = reverse("admin:billing_installment_act", args=[part.pk, "offline"])
    fingerprint = re.search(r'name="fingerprint" value="([^"]*)"', client.get(page).text)[1]
    typed = {
        "fingerprint": unescape(fingerprint),
        "cents": "50",
        "method": "check",
        "check_number": "1017",
        "received_on": timezone.localdate().isoformat(),
        "reason": "desk",
    }

    wrong = client.post(page, typed | {"method": "cash"})
    assert "Cash has no check number." in wrong.text
    assert client.post(page, typed).status_code == 302

    payment = Payment.objects.get()
    assert (payment.amount_cents, payment.check_number) == (5_000, "1017")
    for url in (
        reverse("admin:billing_payment_changelist"),
        reverse("admin:billing_payment_change", args=[payment.pk]),
        reverse("admin:orders_order_change", args=[payment.order_id]),
    ):
        assert "check 1017" in client.get(url).text
