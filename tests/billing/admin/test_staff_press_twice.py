"""Staff who press a button twice, and two who press at once: what a form adds is added once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from billing.admin import credit_actions
from billing.models import Credit, Payment, Refund
from csf.staff.fingerprint import fingerprint_of
from tests.factories import create_household, create_order, create_staff

CREDIT = {"fingerprint": fingerprint_of(0), "cents": "50.00", "reason": "sorry"}


def act(row, name):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_act", args=[row.pk, name])


def press_at_once(staff, url, data, monkeypatch, module, function, times=2):
    """The posts meet just before their work, as long as more than one gets there."""
    gate, work = threading.Barrier(times, timeout=2), getattr(module, function)

    def together(**given):
        with suppress(threading.BrokenBarrierError):
            gate.wait()
        return work(**given)

    monkeypatch.setattr(module, function, together)

    def press(user):
        browser = Client()
        browser.force_login(user)
        try:
            return browser.post(url, data).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(times) as pool:
        return sorted(pool.map(press, staff))


def test_two_presses_at_once_give_a_credit_once(committed_db, monkeypatch):
    household, owner = create_household(), create_staff()
    url = act(household, "give-credit")

    answers = press_at_once([owner] * 2, url, CREDIT, monkeypatch, credit_actions, "grant")

    assert (answers, Credit.objects.count()) == ([200, 302], 1)


@pytest.mark.django_db
def test_the_same_again_needs_the_form_to_be_opened_again(client):
    household = create_household()
    client.force_login(create_staff())
    url = act(household, "give-credit")
    for _ in range(2):
        opened = client.get(url).context
        form = CREDIT | {"fingerprint": opened["facts"].fingerprint, "press": opened["press"]}
        assert client.post(url, form).status_code == 302
        assert client.post(url, form).status_code == 200

    assert household.credits.balance_cents() == 10000


@pytest.mark.django_db
def test_what_was_refused_may_be_sent_again(client):
    """The reason was missing, or the act said no: the same form works once it can."""
    order, staff = create_order(), create_staff()
    payment = Payment.objects.create(
        order=order, amount_cents=5000, currency="usd", method="cash", received_at=timezone.now()
    )
    client.force_login(staff)
    url = act(payment, "refund")
    form = {"fingerprint": fingerprint_of(5000), "cents": "60.00", "reason": "x", "press": "one"}
    for _ in range(2):
        assert "can still be refunded" in client.post(url, form).text

    client.post(url, form | {"cents": "20.00"})
    client.post(url, form | {"cents": "20.00"})

    assert list(Refund.objects.values_list("amount_cents", flat=True)) == [2000]
