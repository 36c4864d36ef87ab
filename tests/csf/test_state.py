from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from csf.state import Stale, transition
from orders.models import Order, OrderStatus, OrderTransition
from tests.factories import create_order


@pytest.mark.django_db
def test_a_transition_moves_the_row_and_leaves_a_trace():
    order = create_order()
    guardian = order.household.guardians.get()

    transition(order, OrderStatus.CANCELLED, by=guardian, reason="changed our mind")

    order.refresh_from_db()
    assert order.status == "cancelled"
    assert [(row.from_status, row.to_status, row.by, row.reason) for row in order.transitions.all()] == [
        ("draft", "placed", guardian, ""),
        ("placed", "cancelled", guardian, "changed our mind"),
    ]


@pytest.mark.django_db
def test_an_edge_that_does_not_exist_is_refused():
    order = create_order()

    with pytest.raises(Stale):
        transition(order, OrderStatus.COMPLETED)

    assert order.transitions.count() == 1


@pytest.mark.django_db
def test_a_row_that_moved_meanwhile_is_refused():
    order = create_order()
    other = Order.objects.get(pk=order.pk)
    transition(other, OrderStatus.CONFIRMED)

    with pytest.raises(Stale):
        transition(order, OrderStatus.EXPIRED)

    order.refresh_from_db()
    assert order.status == "confirmed"
    assert OrderTransition.objects.count() == 2


def _race(order_id, rivals):
    def run(number):
        try:
            transition(Order.objects.get(pk=order_id), OrderStatus.CONFIRMED, reason=str(number))
            return True
        except Stale:
            return False
        finally:
            connection.close()

    with ThreadPoolExecutor(rivals) as pool:
        return sum(pool.map(run, range(rivals)))


def test_of_eight_rivals_one_wins(committed_db):
    order = create_order()

    assert _race(order.pk, 8) == 1
    assert OrderTransition.objects.filter(to_status="confirmed").count() == 1
