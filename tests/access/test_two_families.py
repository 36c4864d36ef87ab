"""No page shows one family anything of another, and a foreign id is answered like a random one."""

import uuid

import pytest

from enrollments.models import Child, Enrollment, GuardianInvitation, Household, User
from tests.factories import (
    create_card,
    create_cart,
    create_contact,
    create_course,
    create_guardian,
    create_household,
    create_order,
)
from tests.pages import parent_of, without_tokens

pytestmark = pytest.mark.django_db

CANARY = "Zanzibar"

WITH_ID = {
    "/account/children/{}/": "child",
    "/account/card/{}/stop/": "card",
    "/account/orders/{}/": "order",
    "/account/orders/{}/pay/": "order",
    "/account/orders/{}/cancel/": "order",
    "/account/enrollments/{}/cancel/": "enrollment",
    "/account/installments/{}/pay/": "installment",
    "/cart/{}/remove/": "line",
    "/account/emails/copies/{}/stop/": "guardian",
    "/account/emails/invitations/{}/withdraw/": "invitation",
}
WITHOUT_ID = [
    "/",
    "/cart/",
    "/checkout/",
    "/account/",
    "/account/card/",
    "/account/children/",
    "/account/children/add/",
    "/account/emails/",
    "/account/emails/invite/",
]


def family(name):
    """A household with something on every page: an enrolled class, an unpaid order and a cart."""
    household = create_household(name=name)
    User.objects.filter(household=household).update(first_name=name, last_name=name)
    Child.objects.filter(household=household).update(first_name=name, last_name=name)
    child = household.children.get()
    create_contact(child=child, name=f"{name} Contact", relationship=name)
    confirmed = create_order(household=household, courses=[create_course(price_cents=0)])
    placed = create_order(household=household)
    cart = create_cart(household=household)
    enrollment = Enrollment.objects.filter(child=child, status="active").get()
    lead = household.guardians.get()
    names = {"first_name": name, "last_name": name}
    second = create_guardian(household=household, **names)
    invitation = GuardianInvitation.objects.create(
        household=household, invited_by=lead, email=f"{name}@example.org".lower(), **names
    )
    ids = {
        "guardian": [second.public_id],
        "invitation": [invitation.public_id],
        "child": [child.public_id],
        "order": [confirmed.public_id, placed.public_id, cart.public_id],
        "installment": list(placed.installments.values_list("public_id", flat=True)),
        "line": [cart.items.get().public_id],
        "card": [create_card(confirmed).public_id],
        "enrollment": list(Enrollment.objects.filter(child=child).values_list("public_id", flat=True)),
    }
    return household, enrollment.course, [public_id for kind in ids.values() for public_id in kind]


def test_no_page_of_a_family_shows_another_and_foreign_ids_look_random():
    ours, course, _ = family("Oslo")
    _, foreign_course, foreign_ids = family(CANARY)
    client = parent_of(ours)
    before = list(Enrollment.objects.order_by("pk").values()), list(Household.objects.order_by("pk").values())

    seen = 0
    for url in [*WITHOUT_ID, course.get_absolute_url(), foreign_course.get_absolute_url()]:
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert CANARY not in answer.text, url
        seen += "Oslo" in answer.text
    assert seen >= 6  # the canary would be found: our own name is

    for url in WITH_ID:
        for method in (client.get, client.post):
            random = method(url.format(uuid.uuid4()))
            assert random.status_code in {404, 405}
            for public_id in foreign_ids:
                answer = method(url.format(public_id))
                assert answer.status_code == random.status_code, (url, method)
                assert without_tokens(answer) == without_tokens(random), (url, method)
                assert CANARY not in answer.text

    after = list(Enrollment.objects.order_by("pk").values()), list(Household.objects.order_by("pk").values())
    assert after == before


def test_foreign_children_and_orders_in_forms_are_refused():
    ours, course, _ = family("Oslo")
    foreign, _, _ = family(CANARY)
    client = parent_of(ours)

    added = client.post(course.get_absolute_url(), {"child": str(foreign.children.get().public_id)})
    placed = client.post("/checkout/", {"order": str(foreign.orders.carts().get().public_id)})

    assert added.context["form"].errors == {"child": ["Choose one of your children."]}
    assert CANARY not in added.text
    assert placed.url == "/cart/"
    assert foreign.orders.carts().exists()


@pytest.mark.parametrize("url", [*WITHOUT_ID[1:], *WITH_ID])
def test_visitors_are_sent_to_sign_in_and_staff_without_a_family_see_nothing(client, url):
    url = url.format(uuid.uuid4())

    for method in (client.get, client.post):
        assert method(url).url == f"/account/login/?next={url}"
    client.force_login(User.objects.create_superuser("office@example.org"))
    for method in (client.get, client.post):
        assert method(url).status_code in {404, 405, 302}
