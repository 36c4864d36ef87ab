"""The family's children and whom to call about them."""

import datetime
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from csf.dates import local_date
from enrollments.families.children import AlreadyInFamily, save_child
from enrollments.models import Child, EmergencyContact
from tests.factories import create_child, create_contact, create_course, create_household, create_order
from tests.pages import parent_of, queries, words

ADD = "/account/children/add/"


def filled(*contacts, **fields):
    """What the browser sends: the child, and three places for contacts."""
    data = {"first_name": "Ada", "last_name": "Garcia", "born_on": "2018-05-31"} | fields
    data |= {"contacts-TOTAL_FORMS": "3", "contacts-INITIAL_FORMS": "0"}
    for number in range(3):
        contact = contacts[number] if number < len(contacts) else {}
        data |= {f"contacts-{number}-{name}": value for name, value in contact.items()}
    return data


def contact(number=1, **fields):
    return {
        "name": f"Gran {'ABCD'[number]}",
        "phone": "(555) 010-0123",
        "relationship": "Grandmother",
    } | fields


@pytest.mark.django_db
def test_a_child_is_added_with_its_contacts():
    household = create_household()
    client = parent_of(household)

    answer = client.post(
        ADD, filled(contact(1, is_primary="on"), contact(2, is_primary="on"), contact(3)), follow=True
    )

    assert answer.redirect_chain == [("/account/children/", 302)]
    assert "Ada was added." in words(answer)
    ada = household.children.get(first_name="Ada")
    assert (ada.last_name, ada.born_on) == ("Garcia", datetime.date(2018, 5, 31))
    assert [(one.name, one.phone, one.is_primary) for one in ada.emergency_contacts.all()] == [
        ("Gran B", "(555) 010-0123", True),
        ("Gran C", "(555) 010-0123", True),
        ("Gran D", "(555) 010-0123", False),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada\r\n  Maria\t ", "Ada Maria"),
        ("Ada\x00\x07\x1b", "Ada"),
        ("\u202eadA\u202c", "adA"),
        ("עדה", "עדה"),
        ("Zoë 🙂", "Zoë 🙂"),
        ("O'Neill-Ñandú", "O'Neill-Ñandú"),
        ("李", "李"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("N" * 60, "N" * 60),
    ],
)
def test_names_are_kept_as_people_read_them(typed, kept):
    household = create_household()

    answer = parent_of(household).post(ADD, filled(contact(), first_name=typed), follow=True)

    assert household.children.filter(first_name=kept).exists()
    assert "<script>alert" not in answer.text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "errors"),
    [
        ({"first_name": ""}, {"first_name": ["This field is required."]}),
        ({"first_name": " \r\n\x00"}, {"first_name": ["This field is required."]}),
        ({"first_name": "http://evil.example"}, {"first_name": ["A name cannot contain a web address."]}),
        ({"last_name": "x\n://y"}, {"last_name": ["A name cannot contain a web address."]}),
        ({"last_name": "1234 🙂"}, {"last_name": ["Enter the name in letters."]}),
        (
            {"first_name": "N" * 61},
            {"first_name": ["Ensure this value has at most 60 characters (it has 61)."]},
        ),
        ({"born_on": ""}, {"born_on": ["This field is required."]}),
        (
            {"born_on": "31/05/2018"},
            {"born_on": ["Enter the date as year, month and day, for example 2018-05-31."]},
        ),
        (
            {"born_on": "2019-02-29"},
            {"born_on": ["Enter the date as year, month and day, for example 2018-05-31."]},
        ),
        ({"born_on": "1970-01-01"}, {"born_on": ["Our classes are for children. Please check the year."]}),
        ({"born_on": "0001-01-01"}, {"born_on": ["Our classes are for children. Please check the year."]}),
        ({"born_on": "tomorrow"}, {"born_on": ["This date is in the future."]}),
    ],
)
def test_bad_fields_are_told_and_nothing_is_written(fields, errors):
    household = create_household(children=1)
    if fields.get("born_on") == "tomorrow":
        fields["born_on"] = (local_date(timezone.now()) + timedelta(days=1)).isoformat()

    answer = parent_of(household).post(ADD, filled(contact(), **fields))

    assert answer.status_code == 200
    assert answer.context["form"].errors == errors
    assert Child.objects.count() == 1
    assert EmergencyContact.objects.count() == 1


@pytest.mark.django_db
def test_a_child_may_be_born_today():
    household = create_household()

    parent_of(household).post(ADD, filled(contact(), born_on=local_date(timezone.now()).isoformat()))

    assert household.children.filter(first_name="Ada").exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("contacts", "error"),
    [
        ([], "Please add at least one person we can call."),
        ([{"is_primary": "on"}], "Please add at least one person we can call."),
        ([{"name": "  ", "phone": "\r\n"}], "Please add at least one person we can call."),
        ([contact(phone="555 010")], "Enter the full number, including the area code."),
        ([contact(phone="call me")], "Enter the full number, including the area code."),
        ([contact(phone="")], "This field is required."),
        ([contact(relationship="")], "This field is required."),
        ([contact(relationship="123")], "Describe the relationship in words."),
        ([contact(name="see http://x.example")], "A name cannot contain a web address."),
        ([contact(phone="1" * 31)], "Ensure this value has at most 30 characters (it has 31)."),
        ([contact(), {"name": "Only a name"}], "This field is required."),
    ],
)
def test_bad_contacts_are_told_and_nothing_is_written(contacts, error):
    household = create_household(children=1)

    answer = parent_of(household).post(ADD, filled(*contacts))

    assert error in words(answer)
    assert Child.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("total", ["4", "1000", "0", "-1", "x", None])
def test_a_crafted_number_of_contacts_is_refused(total):
    household = create_household(children=1)
    data = filled(contact()) | {"contacts-TOTAL_FORMS": total, "contacts-3-name": "Fourth"}

    answer = parent_of(household).post(
        ADD, {name: value for name, value in data.items() if value is not None}
    )

    assert answer.status_code == 200
    assert answer.context["contacts"].non_form_errors()
    assert Child.objects.count() == 1


@pytest.mark.django_db
def test_changing_a_child_and_taking_a_contact_away():
    household = create_household()
    child = household.children.get()
    create_contact(child=child, name="Uncle Bo", is_primary=True)
    client = parent_of(household)
    url = f"/account/children/{child.public_id}/"
    assert [form["name"].value() for form in client.get(url).context["contacts"]] == [
        "Uncle Bo",
        "Gran Garcia",
        None,
    ]

    answer = client.post(url, filled({"name": "", "phone": "", "relationship": ""}, contact(2)), follow=True)

    assert "Ada was saved." in words(answer)
    child.refresh_from_db()
    assert str(child) == "Ada Garcia"
    assert [one.name for one in child.emergency_contacts.all()] == ["Gran C"]


@pytest.mark.django_db
def test_the_same_child_is_not_added_twice():
    household = create_household()
    client = parent_of(household)
    client.post(ADD, filled(contact()))

    answer = client.post(ADD, filled(contact(), first_name="ADA"))

    assert "ADA Garcia with this date of birth is already in your family." in words(answer)
    assert household.children.filter(born_on="2018-05-31").count() == 1
    assert client.post(ADD, filled(contact(), first_name="Twin")).status_code == 302


def test_pressing_the_button_eight_times_at_once_adds_one_child(committed_db):
    household = create_household()

    def press(_):
        child = Child(
            household=household, first_name="Ada", last_name="Garcia", born_on=datetime.date(2018, 5, 31)
        )
        try:
            save_child(
                child=child, contacts=[EmergencyContact(name="Gran", phone="5550100", relationship="G")]
            )
        except AlreadyInFamily:
            pass
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(press, range(8)))

    ada = household.children.get(first_name="Ada")
    assert ada.emergency_contacts.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/classes/swim/", "/classes/swim/"),
        ("http://testserver/classes/swim/", "/account/children/"),
        ("//testserver/classes/swim/", "/account/children/"),
        ("https://evil.example/", "/account/children/"),
        ("//evil.example/", "/account/children/"),
        ("/\\evil.example/", "/account/children/"),
        ("javascript:alert(1)", "/account/children/"),
        ("", "/account/children/"),
    ],
)
def test_after_saving_the_parent_is_led_back_but_never_away(wanted, leads_to):
    client = parent_of(create_household())

    page = client.get(ADD, {"next": wanted})
    answer = client.post(ADD, filled(contact()), query_params={"next": wanted})

    assert page.context["back"] == leads_to
    assert answer.url == leads_to


@pytest.mark.django_db
def test_the_cards_show_age_contacts_and_classes():
    order = create_order(courses=[create_course(title="Swim")])
    child = order.household.children.get()
    over = create_course(title="Long over", slug="over")
    child.enrollments.create(course=over, status="completed")

    text = words(parent_of(order.household).get("/account/children/"))

    assert str(child) in text
    assert "8 years old" in text
    assert "Swim Held" in text
    assert "Gran Garcia ( Grandmother ) +1 555 010 0123" in text
    assert "Long over" not in text


@pytest.mark.django_db
def test_names_are_escaped_everywhere():
    household = create_household()
    create_child(household=household, first_name='"><img src=x onerror=alert(1)>')
    client = parent_of(household)

    for url in ["/account/children/", "/account/", create_course().get_absolute_url()]:
        assert "<img src=x" not in client.get(url).text


@pytest.mark.django_db
def test_a_foreign_child_and_none_at_all_look_alike():
    client = parent_of(create_household())
    foreign = create_household().children.get()

    for public_id in (foreign.public_id, uuid.uuid4()):
        for answer in (
            client.get(f"/account/children/{public_id}/"),
            client.post(f"/account/children/{public_id}/", filled(contact())),
        ):
            assert answer.status_code == 404
    foreign.refresh_from_db()
    assert foreign.first_name != "Ada"


@pytest.mark.django_db
def test_the_pages_take_the_same_queries_for_1_and_3_rows():
    order = create_order(courses=[create_course()])
    household, client = order.household, parent_of(order.household)
    child = household.children.get()
    create_child(household=household)
    listing, editing = (
        queries(client, "/account/children/"),
        queries(client, f"/account/children/{child.public_id}/"),
    )
    create_contact(child=child)
    create_contact(child=child)
    for _ in range(2):
        create_order(household=household, courses=[create_course()])
        create_child(household=household)

    assert queries(client, "/account/children/") == listing <= 12
    assert queries(client, f"/account/children/{child.public_id}/") == editing <= 12


@pytest.mark.parametrize(
    ("there", "typed"),
    [
        (("Zo\u00eb", "Garcia"), ("Zoe\u0308", "Garcia")),
        (("Zoe\u0308", "Garcia"), ("ZO\u00cb", "garcia")),
        (("\u1112\u1161\u11ab", "Kim"), ("\ud55c", "Kim")),
        (("Ada", ""), (" ada ", "")),
        (("Stra\u00dfe", "G"), ("STRASSE", "G")),
    ],
)
def test_one_name_in_two_forms_of_unicode_is_one_child(there, typed):
    household = create_household(children=0)
    born_on = datetime.date(2018, 5, 31)
    Child.objects.create(household=household, first_name=there[0], last_name=there[1], born_on=born_on)

    answer = parent_of(household).post(
        "/account/children/add/", filled(contact(), first_name=typed[0], last_name=typed[1])
    )

    assert answer.status_code == 200
    assert "is already in your family" in answer.text
    assert household.children.count() == 1


def test_people_with_one_name_are_accepted():
    household = create_household(children=0)
    client = parent_of(household)

    client.post("/account/children/add/", filled(contact(), first_name="Sukarno", last_name=""))

    child = household.children.get()
    assert (child.first_name, child.last_name, str(child)) == ("Sukarno", "", "Sukarno")
    assert "Sukarno" in client.get("/account/children/").text


def test_browsers_can_fill_in_the_form():
    page = parent_of(create_household(children=0)).get("/account/children/add/").text

    for purpose in ("section-child given-name", "section-child family-name", "section-child bday"):
        assert f'autocomplete="{purpose}"' in page
    assert 'autocomplete="section-contacts-0 name"' in page
    assert 'autocomplete="section-contacts-1 tel"' in page


# --- Contacts that siblings share ---------------------------------------------------------------------------


def contact_names(child):
    return [one.name for one in child.emergency_contacts.all()]


def test_a_new_child_starts_with_the_contacts_of_a_sibling():
    household = create_household()
    sibling = household.children.get()
    create_contact(child=sibling, name="Uncle Bo", is_primary=True)
    client = parent_of(household)

    page = client.get(ADD)

    assert f"Copied from {sibling.first_name}" in words(page)
    assert [form["name"].value() for form in page.context["contacts"]] == ["Uncle Bo", "Gran Garcia", None]
    assert page.context["is_shared"]
    assert "Use these contacts for" not in words(parent_of(create_household(children=0)).get(ADD))


@pytest.mark.parametrize("is_shared", [True, False])
def test_contacts_are_changed_for_all_children_or_for_one(is_shared):
    household = create_household(children=3)
    child, *siblings = household.children.all()
    stranger = create_household().children.get()
    client = parent_of(household)
    url = f"/account/children/{child.public_id}/"

    client.post(url, filled(contact(1), contact(2)) | ({"same_for_all": "1"} if is_shared else {}))

    assert contact_names(child) == ["Gran B", "Gran C"]
    for sibling in siblings:
        assert contact_names(sibling) == (["Gran B", "Gran C"] if is_shared else ["Gran Garcia"])
    assert contact_names(stranger) == ["Gran Garcia"]
    assert client.get(url).context["is_shared"] == is_shared


# --- Errors -------------------------------------------------------------------------------------------------


def test_a_long_form_with_errors_lists_them_with_links_and_focuses_the_first():
    page = parent_of(create_household(children=0)).post(
        ADD, filled(contact(phone="1"), {"name": "Only a name"}, born_on="2999-01-01")
    )

    assert (
        "Please check: Date of birth : This date is in the future. "
        "Contact 1, phone : Enter the full number, including the area code. "
        "Contact 2, phone : This field is required. "
        "Contact 2, relationship to the child : This field is required."
    ) in words(page)
    for field in re.findall(r'<li><a href="#([^"]+)"', page.text):
        assert f'id="{field}"' in page.text
    [first] = re.findall(r"<input[^>]*autofocus[^>]*>", page.text)[:1]
    assert 'name="born_on"' in first


def test_a_form_without_errors_takes_no_focus():
    assert "autofocus" not in parent_of(create_household(children=0)).get(ADD).text
