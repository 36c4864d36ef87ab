import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billing.models import Payment
from enrollments.models import Course, Enrollment
from orders.models import OrderTransition
from tests.factories import create_course, create_household, create_order

pytestmark = pytest.mark.django_db


def test_a_fact_can_be_neither_changed_nor_deleted():
    row = create_order().transitions.get()

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        OrderTransition.objects.filter(pk=row.pk).update(reason="never happened")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        OrderTransition.objects.filter(pk=row.pk)._raw_delete("default")

    assert OrderTransition.objects.get(pk=row.pk).reason == ""


def test_every_fact_table_has_its_enabled_trigger():
    facts = {model._meta.db_table for model in apps.get_models() if getattr(model, "IS_APPEND_ONLY", False)}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgrelid::regclass::text FROM pg_trigger "
            "WHERE tgname = 'csf_append_only' AND tgenabled = 'O'"
        )
        guarded = {table for (table,) in cursor.fetchall()}

    assert guarded == facts
    assert {Payment._meta.db_table, OrderTransition._meta.db_table} <= facts


def hold(course, seat_number):
    child = create_household(children=1).children.get()
    return Enrollment.objects.create(
        child=child, course=course, status="held", seat_number=seat_number, expires_at=timezone.now()
    )


def test_no_seat_beyond_the_capacity():
    course = create_course(capacity=2)
    held = hold(course, 2)

    with pytest.raises(IntegrityError, match="beyond the capacity"), transaction.atomic():
        hold(course, 3)
    with pytest.raises(IntegrityError, match="beyond the capacity"), transaction.atomic():
        Enrollment.objects.filter(pk=held.pk).update(seat_number=3)


def test_the_capacity_does_not_fall_below_a_taken_seat():
    course = create_course(capacity=3)
    hold(course, 2)

    Course.objects.filter(pk=course.pk).update(capacity=2)
    with pytest.raises(IntegrityError, match="seats beyond 1 are taken"), transaction.atomic():
        Course.objects.filter(pk=course.pk).update(capacity=1)
