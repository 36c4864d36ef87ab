"""Every address of the site, walked: a form without its token is refused, and looking changes nothing."""

import re
import uuid

import pytest
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils.regex_helper import normalize

from billing.checkout.holds import end_unpaid_order
from enrollments.models import Enrollment, GuardianInvitation, User
from notifications.facts.links import invitation_path, preferences_path, unsubscribe_path
from orders.models import Order, OrderStatus
from tests.factories import (
    create_cart,
    create_contact,
    create_course,
    create_household,
    create_order,
    create_staff,
)
from tests.pages import parent_of

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::anymail.exceptions.AnymailInsecureWebhookWarning"),
]

WEBHOOKS = {"stripe/webhook/<uuid:uuid>/", "anymail/sendgrid/tracking/"}
ONE_CLICK = "unsubscribe/<str:token>/"  # mail programs post here; all that it does is one switch to "off"
TOKENLESS = WEBHOOKS | {ONE_CLICK}
RANDOM = uuid.UUID("22222222-2222-4222-8222-222222222222")
SAMPLES = {"uuid": RANDOM, "slug": "no-such-class", "int": 1, "path": "1", "str": "x"}
# What a request may write: who was here, counters, and wake-up calls for the worker.
NOT_OURS = ("django_session", "cache", "q_cache", "django_q_")
# The second press of a sign-in comes with the token from before the first: it does nothing and leads on.
SENT_TWICE = {"/account/login/", "/account/login/code/confirm/"}


def walk(resolver=None, before=""):
    """Each pattern of the site: its route as written, an address that fits it, its view."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from walk(entry, route)
        elif isinstance(entry, URLPattern):
            yield route, fill(route, entry), entry.callback


def fill(route, entry, **ids):
    """An address for the route; `ids` by the name of the placeholder."""
    if not isinstance(entry.pattern, RoutePattern):
        pattern, names = normalize(route)[0]
        route = pattern % dict.fromkeys(names, "x")
    return "/" + re.sub(
        r"<(?:(\w+):)?(\w+)>", lambda m: str(ids.get(m[2]) or SAMPLES[m[1] or "str"]), route
    ).replace("^", "").removesuffix("$")


def is_exempt(view):
    return bool(getattr(view, "csrf_exempt", False))


def test_only_the_webhooks_and_one_click_take_a_post_without_a_token():
    pages = list(walk())
    clients = [Client(enforce_csrf_checks=True, raise_request_exception=False) for _ in range(2)]
    clients[0].force_login(create_household().guardians.get())
    clients[1].force_login(create_staff())

    assert {route for route, _, view in pages if is_exempt(view)} == TOKENLESS
    assert len(pages) > 150  # the walk really came to the staff's pages too
    answers = {
        (url, client.post(url).status_code)
        for client in clients
        for route, url, _ in pages
        if route not in TOKENLESS
    }
    assert {answer for answer in answers if answer[1] != 403} == {(url, 302) for url in SENT_TWICE}


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_no_other_method_gets_past_the_token(method):
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(create_household().guardians.get())
    answers = {
        getattr(client, method)(url).status_code
        for route, url, _ in walk()
        if route not in TOKENLESS and not route.startswith("admin/") and url not in SENT_TWICE
    }
    assert answers == {403}


def test_a_refused_form_says_so_plainly_and_places_nothing():
    household = create_household()
    cart = create_cart(household=household)
    client = Client(enforce_csrf_checks=True)
    client.force_login(household.guardians.get())

    stolen = client.post("/checkout/", {"order": str(cart.public_id), "csrfmiddlewaretoken": "x" * 64})
    page = client.get("/checkout/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    foreign = client.post(
        "/checkout/",
        {"order": str(cart.public_id), "csrfmiddlewaretoken": token},
        headers={"Origin": "https://evil.example"},
    )

    for answer in (stolen, foreign):
        assert answer.status_code == 403
        assert "<h1>" in answer.text
        assert "CSRF" not in answer.text
    cart.refresh_from_db()
    assert cart.status == "draft"


def test_webhooks_check_a_signature_instead():
    for path in (f"/stripe/webhook/{RANDOM}/", "/anymail/sendgrid/tracking/"):
        sent = Client(enforce_csrf_checks=True).post(path, b"[]", content_type="application/json")
        assert sent.status_code in {400, 404}, path


# --- Looking ------------------------------------------------------------------------------------------------


def contents():
    """Rows and digest of every table of ours."""
    with connection.cursor() as cursor:
        tables = [name for name in connection.introspection.table_names(cursor) if not is_not_ours(name)]
        digests = [
            f"SELECT '{table}', count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM \"{table}\" t"
            for table in tables
        ]
        cursor.execute(" UNION ALL ".join(digests))
        return {table: row for table, *row in cursor.fetchall()}


def writes():
    """How often this test's transaction has written to each table of ours: cheaper than `contents`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_xact_user_tables"
            " WHERE n_tup_ins + n_tup_upd + n_tup_del > 0"
        )
        return {table: counts for table, *counts in cursor.fetchall() if not is_not_ours(table)}


def is_not_ours(table):
    return table.startswith(NOT_OURS)


def family():
    """A cart, an order in each state, and a place that can be given up."""
    household = create_household(ages=[8, 9])
    create_contact(child=household.children.first())
    confirmed = create_order(household=household, courses=[create_course(price_cents=0, sessions=3)])
    placed = create_order(household=household)
    cancelled, expired = (create_order(household=household) for _ in range(2))
    end_unpaid_order(order=cancelled, to=OrderStatus.CANCELLED, reason="cancelled by the family")
    end_unpaid_order(order=expired, to=OrderStatus.EXPIRED, reason="not paid in time")
    cart = create_cart(household=household)
    GuardianInvitation.objects.create(
        household=household, invited_by=household.guardians.get(), email="robin@example.org"
    )
    assert sorted(household.orders.values_list("status", flat=True)) == sorted(
        ["draft", "placed", "cancelled", "expired", "confirmed"]
    )
    return household, cart, [confirmed, placed, cancelled, expired]


def addresses(household, cart):
    """Every address outside the staff's pages, with every id of the family."""
    ids = [
        *household.children.values_list("public_id", flat=True),
        *Order.objects.filter(household=household).values_list("public_id", flat=True),
        *Enrollment.objects.filter(child__household=household).values_list("public_id", flat=True),
        *cart.items.values_list("public_id", flat=True),
    ]
    slug = cart.items.get().course.slug
    for route, url, _ in walk():
        if route.startswith(("admin/", "account/logout")):
            continue
        if "public_id" in route:
            yield from (url.replace(str(RANDOM), str(public_id)) for public_id in ids)
        else:
            yield url.replace("no-such-class", slug)
    lead = household.guardians.get()
    yield from (preferences_path(lead), unsubscribe_path(lead, "newsletter"))
    yield from (invitation_path(invitation) for invitation in household.invitations.all())
    yield from ("/?program=1&weekday=0&age=8&page=2&open=on", "/?q=swim", "/account/logout/")


def test_looking_at_every_page_of_a_family_changes_nothing():
    household, cart, orders = family()
    client = parent_of(household)
    visitor = Client(raise_request_exception=False)
    before = contents()
    assert len(before) > 30

    written, answered = writes(), 0
    for url in addresses(household, cart):
        answered += client.get(url).status_code == 200
        client.head(url)
        client.options(url)
        visitor.get(url)
        assert writes() == written, url
    for order in orders:
        client.get(f"{order.get_absolute_url()}?paid=1")
    client.get("/account/children/add/?next=/cart/")

    assert contents() == before
    assert client.get("/account/").status_code == 200  # GET of the sign-out page has signed nobody out
    assert User.objects.get(household=household).is_active
    assert answered >= 15


def test_the_digest_sees_a_change():
    household, _, _ = family()
    before, written = contents(), writes()

    User.objects.filter(household=household).update(last_name="Gracia")

    assert [name for name, counts in writes().items() if counts != written[name]] == ["enrollments_user"]
    assert {name for name, row in contents().items() if row != before[name]} == {"enrollments_user"}
