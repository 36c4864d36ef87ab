"""The form of a class: what is wrong is said by its field, and what it makes."""

import pytest

from enrollments.models import Course, Enrollment
from tests.factories import create_order
from tests.office.everything import page_of
from tests.staff_pages import course_data

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age_max", "5"),
        ("ends_on", "2030-09-01"),
        ("end_time", "16:00"),
        ("registration_closes_at_0", "2030-07-31"),
        ("price_cents", "0.99"),
        ("price_cents", "1,50"),
        ("price_cents", "nan"),
        ("capacity", "-1"),
        ("slug", "not a slug"),
    ],
)
def test_class_form_says_by_the_field_what_is_wrong(staff, field, value):
    response = staff.post(page_of(Course, "add"), course_data(**{field: value}))

    assert response.status_code == 200
    assert list(response.context["adminform"].errors) == [field.removesuffix("_0")]
    assert not Course.objects.filter(title="Judo").exists()


def test_new_class_gets_its_weekly_sessions(staff):
    staff.post(page_of(Course, "add"), course_data())

    assert Course.objects.get(title="Judo").sessions.count() == 5


def test_class_cannot_shrink_below_a_seat_that_is_taken(staff):
    course = create_order().items.get().course
    Enrollment.objects.update(seat_number=7)
    data = course_data(title=course.title, slug=course.slug, capacity="6")

    response = staff.post(page_of(Course, "change", course.pk), data)

    assert response.context["adminform"].errors == {
        "capacity": ["Place 7 is taken, so there must be at least 7 places."]
    }
