"""Statements and time of the pages that parents see, and of a whole checkout."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.checkout import place_order
from csf.sandbox.browser import Browser, forms_of
from enrollments.models import Child, Course, User
from orders.cart import add_to_cart
from orders.models import Order, cart_of
from tests.bench import rows
from tests.bench.measure import Case, measured, percentiles_ms
from tests.bench.surroundings import fresh_database, stripe_stand_in, web

COUNT = 20
CLASSES, ORDERS, LINES = 2000, 50, 4
WARM_UP = 4

Request = Callable[[Client], Any]


def run(count: int) -> Iterator[Case]:
    call_command("collectstatic", interactive=False, verbosity=0)
    with fresh_database():
        small = _statements(_fill(classes=20, orders=2, lines=1))
        pages = _fill(classes=CLASSES, orders=ORDERS, lines=LINES)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        for name, case in _pages(pages, count).items():
            yield {"bench": "pages", "case": name, **case, "is_constant": case["queries"] == small[name]}
        with stripe_stand_in():
            yield {"bench": "pages", "case": "checkout", **_checkout(count)}


def _fill(*, classes: int, orders: int, lines: int) -> tuple[User, dict[str, str]]:
    """A family with this many orders and a cart, in a season of this many classes; gives its guardian and
    the addresses of the pages."""
    courses = rows.create_courses(classes)
    crowd = [user.household_id for user in rows.create_families(6)]
    rows.fill_seats(courses, Child.objects.filter(household__in=crowd).order_by("pk"))
    [guardian] = rows.create_families(1)
    rows.create_orders([guardian] * (orders - 1), courses)
    order = _cart(guardian, courses[:lines])
    place_order(order=order, by=guardian, now=timezone.now())
    _cart(guardian, courses[20 : 20 + lines] or courses[lines : 2 * lines])
    return guardian, {
        "catalog": "/",
        "class": courses[-1].get_absolute_url(),
        "account": "/account/",
        "order": order.get_absolute_url(),
        "cart": "/cart/",
    }
