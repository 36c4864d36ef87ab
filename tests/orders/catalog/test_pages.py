"""Catalog, class page and cart, as a parent sees them."""

import datetime
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from csf.dates import local_date
from csf.templatetags.csf_format import day
from enrollments.models import Course, CourseSession, Enrollment, Location, Program
from orders import views
from orders.models import Order, OrderItem, PromoCode, cart_of
from tests.factories import create_cart, create_child, create_course, create_household, create_order
from tests.pages import parent_of, queries, words

pytestmark = pytest.mark.django_db


def titles(answer):
    return [course.title for course in answer.context["page"]]


@pytest.fixture
def season():
    """Five classes that differ in everything one can filter by."""
    monday, friday = Course.Weekday.MONDAY, Course.Weekday.FRIDAY
    dance = Program.objects.create(name="Dance")
    mill = Location.objects.create(name="The Old Mill", address="1 Mill Lane")
    create_course(title="Ballet", program=dance, weekday=friday, age_min=3, age_max=5, location=mill)
    create_course(title="Jazz", program=dance, weekday=monday, age_min=5, age_max=8)
    create_course(title="Swim", weekday=monday, age_min=6, age_max=12)
    full = create_course(title="Full", weekday=friday, age_min=6, age_max=12, capacity=1)
    create_order(courses=[full])
    closed = {"registration_closes_at": timezone.now() - timedelta(minutes=1)}
    create_course(title="Closed", weekday=friday, age_min=0, age_max=0, **closed)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["Ballet", "Jazz", "Closed", "Full", "Swim"]),
        ({"program": "Dance"}, ["Ballet", "Jazz"]),
        ({"location": "The Old Mill"}, ["Ballet"]),
        ({"weekday": "0"}, ["Jazz", "Swim"]),
        ({"weekday": "4"}, ["Ballet", "Closed", "Full"]),
        ({"age": "5"}, ["Ballet", "Jazz"]),
        ({"age": "8"}, ["Jazz", "Full", "Swim"]),
        ({"age": "12"}, ["Full", "Swim"]),
        ({"age": "0"}, ["Closed"]),
        ({"age": "13"}, []),
        ({"openings": "on"}, ["Ballet", "Jazz", "Swim"]),
        ({"program": "Dance", "age": "5", "weekday": "0", "openings": "on"}, ["Jazz"]),
        (
            {"program": "", "location": "", "weekday": "", "age": ""},
            ["Ballet", "Jazz", "Closed", "Full", "Swim"],
        ),
        ({"unknown": "x"}, ["Ballet", "Jazz", "Closed", "Full", "Swim"]),
    ],
)
def test_filters_narrow_the_catalog(client, season, filters, found):
    if program := filters.get("program"):
        filters["program"] = Program.objects.get(name=program).pk
    if location := filters.get("location"):
        filters["location"] = Location.objects.get(name=location).pk

    answer = client.get("/", filters)

    assert titles(answer) == found
    count = "1 class" if len(found) == 1 else f"{len(found)} classes"
    assert count in words(answer)
    assert ("Clear filters" in answer.text) == any(
        value for name, value in filters.items() if name != "unknown"
    )
    assert ("No classes match" in answer.text) == (not found)


@pytest.mark.parametrize(
    ("filters", "error"),
    [
        ({"age": "seven"}, "Enter the age in whole years, from 0 to 21."),
        ({"age": "-1"}, "Enter the age in whole years, from 0 to 21."),
        ({"age": "22"}, "Enter the age in whole years, from 0 to 21."),
        ({"age": "7.5"}, "Enter the age in whole years, from 0 to 21."),
        ({"age": "9" * 5000}, "Enter the age in whole years, from 0 to 21."),
        ({"weekday": "7"}, "Choose a day from the list."),
        ({"weekday": "Monday"}, "Choose a day from the list."),
        ({"program": "99999999999999999999"}, "We do not have this program. Choose one from the list."),
        ({"program": "x' OR 1=1 --"}, "We do not have this program. Choose one from the list."),
        ({"location": "\x00"}, "Null characters are not allowed."),
        ({"location": "0", "age": "8"}, "We do not have this location. Choose one from the list."),
    ],
)
def test_a_bad_filter_is_told_and_nothing_is_filtered(client, season, filters, error):
    answer = client.get("/", filters)

    assert error in words(answer)
    assert "Not filtered: 5 classes" in words(answer)
    assert len(titles(answer)) == 5
    assert 'aria-invalid="true"' in answer.text


def test_a_class_that_is_over_leaves_the_catalog_but_keeps_its_page(client):
    today = local_date(timezone.now())
    over = create_course(starts_on=today - timedelta(days=70), ends_on=today - timedelta(days=1))
    last_day = create_course(starts_on=today - timedelta(days=70), ends_on=today)

    assert titles(client.get("/")) == [last_day.title]
    assert client.get(over.get_absolute_url()).status_code == 200


def test_the_last_day_of_a_class_is_that_of_its_last_session(client):
    """A session that fell out, or a last day between two sessions, would promise a day on which none is."""
    course = create_course(sessions=10)
    *_, before, last = course.sessions.all()
    CourseSession.objects.filter(pk=last.pk).update(cancelled_at=timezone.now())

    page = client.get(course.get_absolute_url())

    assert f"Last day {day(before.held_on)} For" in words(page)
    assert f'"endDate": "{before.held_on}"' in page.text


def test_an_empty_catalog_says_so(client):
    assert "No classes right now" in client.get("/").text


def test_pages_keep_the_filters_and_the_programs(client, monkeypatch):
    monkeypatch.setattr(views, "CLASSES_ON_A_PAGE", 2)
    art, dance = Program.objects.create(name="Art"), Program.objects.create(name="Dance")
    for program in (dance, art, dance):
        create_course(program=program)
    create_course(program=art, age_min=1, age_max=2)

    first = client.get("/", {"age": "8"})
    second = client.get("/", {"age": "8", "page": "2"})

    assert "3 classes, page 1 of 2" in words(first).replace(" ,", ",")
    assert 'href="?age=8&amp;page=2"' in first.text
    assert 'href="?age=8&amp;page=1"' in second.text
    assert [course.program.name for course in first.context["page"]] == ["Art", "Dance"]
    assert [course.program.name for course in second.context["page"]] == ["Dance"]
    assert second.text.count("<h2") == 1
    for page in ("0", "3", "x", "-1", ""):
        assert client.get("/", {"age": "8", "page": page}).status_code == 200


def test_the_number_of_places_counts_held_and_enrolled_children(client):
    course = create_course(capacity=5)
    create_order(courses=[course])
    child = create_child(household=create_household(ages=[9]))
    Enrollment.objects.create(child=child, course=course, status="cancelled")

    assert "4 places left" in words(client.get("/"))
    assert "4 places left" in words(client.get(course.get_absolute_url()))


def test_the_class_page_says_what_is_in_each_childs_way(client):
    course = create_course(title="Swim", age_min=6, age_max=12)
    household = create_household(ages=[8])
    fits = household.children.get()
    young = create_child(household=household, age=3)
    alone = create_child(household=household, age=9, contacts=0)
    there = create_child(household=household, age=10)
    Enrollment.objects.create(
        child=there, course=course, status="held", seat_number=1, expires_at=timezone.now()
    )
    client = parent_of(household)

    page = client.get(course.get_absolute_url())

    text = words(page).replace("\u2068", "").replace("\u2069", "")
    assert f"{fits.first_name}: will be {fits.age_on(course.starts_on)} on the first day" in text
    assert f"{young.first_name}: will be 3, but the class is for ages 6 to 12" in text
    assert f"{alone.first_name}: will be 9, but needs an emergency contact first" in text
    assert f"{there.first_name}: already has a place" in text
    assert f'href="/account/children/{alone.public_id}/?next=/classes/{course.slug}/%23register"' in page.text
    for child, error in [
        (young, f"{young.first_name} will be 3 when it starts."),
        (alone, f"Please add an emergency contact for {alone.first_name} first"),
        (there, f"{there.first_name} already has a place in Swim."),
    ]:
        answer = client.post(course.get_absolute_url(), {"child": str(child.public_id)})
        assert error in words(answer)
    assert not OrderItem.objects.exists()


def chosen(page):
    return re.findall(r'value="([0-9a-f-]{36})"[^>]*checked', page.text)


def test_those_whom_the_class_fits_come_first_and_an_only_one_is_chosen():
    household = create_household(ages=[14, 8, 3])
    old, fits, young = household.children.all()
    course = create_course()

    page = parent_of(household).get(course.get_absolute_url())
    assert list(page.context["form"].children.values()) == [fits, old, young]
    assert chosen(page) == [str(fits.public_id)]

    create_child(household=household, age=9)
    assert chosen(parent_of(household).get(course.get_absolute_url())) == []


def test_a_class_that_fits_nobody_says_why_and_offers_some_that_do():
    household = create_household(ages=[3])
    course = create_course(title="Big Swim")
    fit = {"age_min": 2, "age_max": 4}
    other = create_course(title="Clay", program=Program.objects.create(name="Art"), **fit)
    same = create_course(title="Small Swim", **fit)
    create_course(title="Full Swim", capacity=0, **fit)
    create_course(title="Later Swim", registration_opens_at=timezone.now() + timezone.timedelta(1), **fit)
    client = parent_of(household)

    page = client.get(course.get_absolute_url())

    assert "will be 3, but the class is for ages 6 to 12" in words(page)
    assert "Add to cart" not in words(page)
    assert page.context["similar"] == [same, other]
    assert f'href="/account/children/add/?next=/classes/{course.slug}/%23register"' in page.text
    answer = client.post(course.get_absolute_url(), {"child": str(household.children.get().public_id)})
    assert "will be 3 when it starts" in words(answer)


@pytest.mark.parametrize(
    "child", ["1", "x", "\x00", "' OR 1=1 --", "5d2f4a52-0d0e-4d0b-9a86-6a4e6f0c9c11", "🙂", "A" * 10_000]
)
def test_a_crafted_child_is_refused_in_words(child):
    household = create_household()
    course = create_course()

    answer = parent_of(household).post(course.get_absolute_url(), {"child": child})

    assert answer.status_code == 200
    assert answer.context["form"].errors == {"child": ["Choose one of your children."]}


def test_no_child_chosen_is_told():
    answer = parent_of(create_household()).post(create_course().get_absolute_url())

    assert answer.context["form"].errors == {"child": ["Choose a child."]}


def test_a_family_without_children_is_led_to_adding_one_and_back():
    course = create_course()
    household = create_household()
    household.children.get().emergency_contacts.all().delete()
    household.children.get().delete()

    page = parent_of(household).get(course.get_absolute_url())

    assert f'href="/account/children/add/?next=/classes/{course.slug}/%23register"' in page.text


def test_adding_twice_gives_one_line_and_the_header_counts_it():
    household = create_household()
    client, course = parent_of(household), create_course()

    for _ in range(2):
        answer = client.post(
            course.get_absolute_url(), {"child": str(household.children.get().public_id)}, follow=True
        )
        assert answer.redirect_chain == [("/cart/", 302)]

    assert OrderItem.objects.count() == 1
    assert 'with </span>1<span class="unseen"> class</span>' in answer.text


def test_looking_at_an_empty_cart_writes_nothing():
    client = parent_of(create_household())

    answer = client.get("/cart/")

    assert "Your cart is empty" in words(answer)
    assert client.get("/checkout/").url == "/cart/"
    assert not Order.objects.exists()


def two_children_cart():
    household = create_household(children=2)
    course = create_course(price_cents=10_000)
    client = parent_of(household)
    for child in household.children.all():
        client.post(course.get_absolute_url(), {"child": str(child.public_id)})
    return client, household


def test_the_cart_explains_its_prices():
    client, _ = two_children_cart()
    PromoCode.objects.create(code="SPRING", percent_bps=1000)

    client.post("/cart/", {"code": " spring "})

    text = words(client.get("/cart/"))
    for part in [
        "$100.00 ",
        "Sibling discount, 2nd child (25%) -$25.00 Your price $75.00",
        "Promo code SPRING -$10.00 Your price $90.00",
        "Subtotal $200.00 Discounts -$35.00 Total $165.00",
        "Promo code SPRING Remove",
    ]:
        assert part in text

    client.post("/cart/", {"remove": "1"})

    assert "Total $175.00" in words(client.get("/cart/"))


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("", "Enter a code."),
        ("   ", "Enter a code."),
        ("NOPE", "This code is not valid."),
        ("OVER", "This code is not valid."),
        ("USEDUP", "This code has reached its limit."),
        ("X" * 31, "Ensure this value has at most 30 characters (it has 31)."),
        ("A\x00B", "Null characters are not allowed."),
        ("<script>", "This code is not valid."),
    ],
)
def test_a_promo_code_that_does_not_work_is_told_by_the_field(code, error):
    client, household = two_children_cart()
    PromoCode.objects.create(code="OVER", percent_bps=1000, ends_on=datetime.date(2020, 1, 1))
    PromoCode.objects.create(code="USEDUP", percent_bps=1000, max_orders=0)

    answer = client.post("/cart/", {"code": code})

    assert answer.context["form"].errors == {"code": [error]}
    assert error in words(answer)
    assert "Total $175.00" in words(answer)
    assert cart_of(household).promo_code is None


def test_a_code_for_other_classes_stays_on_the_cart_and_says_that_it_takes_nothing_off():
    client, _ = two_children_cart()
    PromoCode.objects.create(code="DANCE", percent_bps=1000, program=Program.objects.create(name="Dance"))

    client.post("/cart/", {"code": "DANCE"})

    assert "This code does not apply to the classes in your cart" in words(client.get("/cart/"))


def test_removing_a_line():
    order = create_cart()
    client = parent_of(order.household)
    url = f"/cart/{order.items.get().public_id}/remove/"

    assert client.get(url).status_code == 405
    assert client.post(url).url == "/cart/"
    assert client.post(url).status_code == 404
    assert not OrderItem.objects.exists()


def test_the_line_of_a_placed_order_cannot_be_removed():
    order = create_order()

    assert parent_of(order.household).post(f"/cart/{order.items.get().public_id}/remove/").status_code == 404
    assert order.items.count() == 1


@pytest.mark.parametrize(
    "url", ["/", "/?openings=on&age=8&weekday={weekday}&program={program}&location={location}"]
)
def test_the_catalog_takes_the_same_queries_for_1_and_3_classes(url):
    client = parent_of(create_household())
    course = create_course()
    url = url.format(weekday=course.weekday, program=course.program_id, location=course.location_id)
    with_one = queries(client, url)
    create_course(program=Program.objects.create(name="Dance"))
    create_course(program=Program.objects.create(name="Art"))

    assert queries(client, url) == with_one <= 12


def test_class_page_and_cart_take_the_same_queries_for_1_and_3_rows():
    household = create_household()
    client = parent_of(household)
    course = create_course(sessions=1)
    create_cart(household=household, courses=[course])
    class_page, cart = queries(client, course.get_absolute_url()), queries(client, "/cart/")
    create_child(household=household)
    create_child(household=household)
    course.sessions.all().delete()
    course.plan_sessions()
    create_cart(household=household, courses=[create_course(), create_course()])

    assert queries(client, course.get_absolute_url()) == class_page <= 12
    assert queries(client, "/cart/") == cart <= 12


def test_a_family_whose_child_has_the_place_reads_that_and_where_to_pay():
    course = create_course()
    order = create_order(household=create_household(ages=[8]), courses=[course])
    name = order.household.children.get().first_name
    client = parent_of(order.household)

    held = client.get(course.get_absolute_url())
    order.confirm(reason="paid")
    paid = client.get(course.get_absolute_url())

    assert f"place is waiting for payment: order {order.number} ." in words(held)
    assert f'href="{order.get_absolute_url()}"' in held.text
    assert f"{name} has a place in this class." in words(paid)
    for page in (held, paid):
        assert "can take this class" not in words(page)
        assert not page.context["similar"] or "Classes that fit" not in words(page)
