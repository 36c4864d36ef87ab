import pytest
from django.db import transaction

from billing.ledger.locks import lock_installment
from enrollments.locks import lock_course, lock_household
from orders.locks import lock_courses_of, lock_order
from tests.factories import create_order
from tests.lock_order import WrongOrder

pytestmark = pytest.mark.django_db


def test_the_order_and_a_row_that_is_held_already_are_fine():
    order = create_order()
    with transaction.atomic():
        lock_household(order.household_id)
        courses = lock_courses_of(order.pk)
        installment = lock_installment(order.installments.get())
        assert lock_course(courses[0].pk) == courses[0]
        assert (lock_order(order.pk), installment.order) == (order, order)


def test_a_class_after_an_order_fails_but_not_in_the_next_transaction():
    order = create_order()
    course = order.items.get().course
    with transaction.atomic():
        lock_order(order.pk)
        with pytest.raises(WrongOrder, match="Course"):
            lock_course(course.pk)
    with transaction.atomic():
        lock_course(course.pk)
