from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from csf.state import Stale, transition, transition_many
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


@pytest.mark.django_db
def test_many_rows_move_in_three_statements_but_for_those_that_moved(django_assert_num_queries):
    orders = [create_order() for _ in range(4)]
    transition(Order.objects.get(pk=orders[1].pk), OrderStatus.CONFIRMED)

    with django_assert_num_queries(5):  # with BEGIN and COMMIT, here a savepoint
        moved = transition_many(orders, OrderStatus.EXPIRED, reason="over", held_until=None)

    assert moved == [orders[0], *orders[2:]]
    assert [(order.status, order.held_until) for order in moved] == [("expired", None)] * 3
    assert [Order.objects.get(pk=order.pk).status for order in orders] == [
        "expired",
        "confirmed",
        "expired",
        "expired",
    ]
    last = OrderTransition.objects.order_by("pk").filter(to_status="expired")
    assert [(row.order, row.from_status, row.reason) for row in last] == [
        (order, "placed", "over") for order in moved
    ]
    assert transition_many(moved, OrderStatus.COMPLETED, reason="not allowed") == []
    assert transition_many([], OrderStatus.EXPIRED, reason="none") == []


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
