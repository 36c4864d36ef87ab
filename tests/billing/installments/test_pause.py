"""Stopping all charges of an order, by a dispute or by staff, and what staff see of a dispute."""

import pytest
import requests
from django.urls import reverse

from billing.installments.dunning import candidates
from billing.models import Dispute, InstallmentNote
from orders.models import Order
from tests.shop import DUE, hear, order_with_plan
from tests.staff_pages import act_on, page_of, press, staff_client

pytestmark = pytest.mark.django_db


def reasons(installment):
    return [candidate.reason for candidate in candidates(DUE, on=installment.due_on)]


def test_a_dispute_stops_the_charges_and_staff_let_them_go_on(shop, client):
    installment = order_with_plan(shop)
    order = installment.order
    charge = order.payments.get().stripe_charge_id
    answer = requests.post(f"{shop.server.url}/_disputes", json={"charge": charge}, timeout=60)
    assert answer.ok, answer.text
    hear(shop, "charge.dispute.created")
    assert reasons(installment) == ["the charges of this order are paused"]

    staff = staff_client(
        client, "hold_installment", "view_dispute", "view_consent", "view_emailmessage", "view_installment"
    )
    shown = staff.get(page_of(Dispute.objects.get())).text
    for words in [order.number, order.consent.text[:40], "Payment received", "Order confirmation"]:
        assert words in shown
    order = Order.objects.get(pk=order.pk)
    assert "Pause all charges" not in staff.get(page_of(order)).text
    press(staff, order, "resume", reason="the family called its bank")

    assert reasons(installment) == [""]
    note = InstallmentNote.objects.get()
    assert (note.by, note.installment) == (staff.user, installment)
    assert note.text == "charges of the order resumed: the family called its bank"


def test_staff_stop_the_charges_with_a_reason_and_once(shop, client):
    installment = order_with_plan(shop)
    order = Order.objects.get(pk=installment.order_id)
    staff = staff_client(client, "hold_installment", "view_installment")

    assert "Give a reason: it stays in the history." in press(staff, order, "pause", reason="").text
    assert reasons(installment) == [""]
    fingerprint = staff.get(act_on(order, "pause")).context["facts"].fingerprint
    typed = {"fingerprint": fingerprint, "reason": "agreed by phone"}
    assert "are paused" in staff.post(act_on(order, "pause"), typed, follow=True).text
    assert "Something has changed" in staff.post(act_on(order, "pause"), typed, follow=True).text
    assert "not possible" in staff.get(act_on(order, "pause"), follow=True).text

    assert reasons(installment) == ["the charges of this order are paused"]
    assert InstallmentNote.objects.count() == 1
    staff.user.user_permissions.clear()
    assert staff.post(reverse("admin:orders_order_act", args=[order.pk, "resume"])).status_code == 403
