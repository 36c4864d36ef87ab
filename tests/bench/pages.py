"""Statements, CPU and time of the pages that parents see, and of a whole checkout.

A count below the default also makes the season smaller, for the smoke test.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

import requests
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.checkout.place_order import place_order
from csf.dates import local_date
from demo.journey.browser import forms_of
from enrollments.models import Child, Course, User
from orders.cart import add_to_cart
from orders.models import Order, cart_of
from tests.bench import plans, rows
from tests.bench.measure import Case, measured, percentiles_ms
from tests.bench.surroundings import fresh_database, stripe_stand_in, web

COUNT = 20
CLASSES_OF_COUNT = 100  # 2,000 classes by default
ORDERS, LINES = 50, 4
WARM_UP = 4


def run(count: int) -> Iterator[Case]:
    call_command("collectstatic", interactive=False, verbosity=0)
    with fresh_database():
        small = _queries(*_fill(classes=20, orders=3, lines=1))
        pages = _fill(classes=CLASSES_OF_COUNT * min(count, COUNT), orders=ORDERS, lines=LINES)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        for name, case in _pages(*pages, count).items():
            yield {"bench": "pages", "case": name, **case, "is_constant": case["queries"] == small[name]}
        with stripe_stand_in():
            yield {"bench": "pages", "case": "checkout", **_checkout(count)}


def _fill(*, classes: int, orders: int, lines: int) -> tuple[User, dict[str, str]]:
    """A family with this many orders and a cart, in a season of this many classes; returns its guardian and
    the addresses of the pages.

    One order waits for its payment, one is paid in parts, and the others are paid.
    """
    courses = rows.create_courses(classes)
    crowd = [user.household_id for user in rows.create_families(6)]
    rows.fill_seats(courses, Child.objects.filter(household__in=crowd).order_by("pk"))
    [guardian] = rows.create_families(1)
    paid = rows.create_orders([guardian] * (orders - 2), rows.create_courses(2 * (orders - 2)))
    rows.pay_orders([owed.order for owed in paid])
    next_month = local_date(timezone.now()) + timedelta(days=30)
    [in_parts] = plans.create_orders([guardian], rows.create_courses(2), due_on=next_month)
    order = _cart(guardian, courses[:lines])
    place_order(order=order, by=guardian, now=timezone.now())
    _cart(guardian, courses[lines : 2 * lines])
    return guardian, {
        "catalog": "/",
        "class": courses[-1].get_absolute_url(),
        "account": "/account/",
        "order": order.get_absolute_url(),
        "order in parts": in_parts.get_absolute_url(),
        "cart": "/cart/",
    }


def _cart(guardian: User, courses: Sequence[Course]) -> Order:
    assert guardian.household is not None
    child = guardian.household.children.all()[0]
    for course in courses:
        add_to_cart(household=guardian.household, child=child, course=course, now=timezone.now())
    return cart_of(guardian.household)


def _queries(guardian: User, paths: dict[str, str]) -> dict[str, int]:
    """Statements of each page for a signed-in family; before, everything is warm. Reading the clock, which a
    process does every few seconds, is no part of a page."""
    visitor = InProcess(guardian)
    counted: dict[str, int] = {}
    for name, path in paths.items():
        visitor.get(path)
        with CaptureQueriesContext(connection) as captured:
            visitor.get(path)
        counted[name] = sum(query["sql"] != "SELECT csf_now()" for query in captured)
    return counted


def _pages(guardian: User, paths: dict[str, str], count: int) -> dict[str, Case]:
    queries = _queries(guardian, paths)
    visitor = InProcess(guardian)
    return {
        name: {"n": count, "queries": queries[name]} | _times(visitor, path, count)
        for name, path in paths.items()
    }


def _times(visitor: "InProcess", path: str, count: int) -> Case:
    """CPU is that of the cheapest fifth, which other work on these cores disturbs least."""
    seconds, cpu_s = [], []
    for _ in range(count):
        started, cpu_started = time.perf_counter(), time.process_time()
        visitor.get(path)
        seconds.append(time.perf_counter() - started)
        cpu_s.append(time.process_time() - cpu_started)
    return {"cpu_ms": round(1000 * sorted(cpu_s)[count // 5], 1)} | percentiles_ms(seconds)


class Visitor(Protocol):
    """Somebody signed in who sees pages and sends forms, in this process or over HTTP."""

    def get(self, path: str) -> str: ...

    def post(self, path: str, sent: dict[str, str]) -> str:
        """Gives the address that the answer leads to."""


class InProcess:
    def __init__(self, user: User) -> None:
        self.client = Client(headers={"Host": "127.0.0.1"})
        self.client.force_login(user)

    def get(self, path: str) -> str:
        page = self.client.get(path)
        assert page.status_code == 200, f"{path}: {page.status_code}"
        return page.content.decode()

    def post(self, path: str, sent: dict[str, str]) -> str:
        return str(self.client.post(path, sent)["Location"])


class OverHttp:
    def __init__(self, user: User) -> None:
        self.session = requests.Session()
        name = settings.SESSION_COOKIE_NAME
        self.session.cookies.set(name, InProcess(user).client.cookies[name].value, domain="127.0.0.1")

    def get(self, path: str) -> str:
        page = self.session.get(settings.SITE_URL + path, timeout=30, allow_redirects=False)
        assert page.status_code == 200, f"{path}: {page.status_code}"
        return page.text

    def post(self, path: str, sent: dict[str, str]) -> str:
        done = self.session.post(settings.SITE_URL + path, data=sent, timeout=30, allow_redirects=False)
        return done.headers["Location"]


def _checkout(count: int) -> Case:
    """From the class page to the order page; signing in is no part of it."""
    courses = rows.create_courses(5, capacity=count + 2 * WARM_UP)
    paths = [course.get_absolute_url() for course in courses]
    families = rows.create_families(count + WARM_UP + 2)
    _buy(InProcess(families.pop()), paths[0])
    visitor = InProcess(families.pop())
    with CaptureQueriesContext(connection) as captured:
        _buy(visitor, paths[0])
    with web() as pid:
        visitors = [OverHttp(user) for user in families]
        for number in range(WARM_UP):  # both of gunicorn's workers load all pages
            _buy(visitors.pop(), paths[number % 5])
        with measured(pid) as meter:
            seconds = [_buy(visitor, paths[number % 5]) for number, visitor in enumerate(visitors)]
    return meter.figures(count) | {"statements": len(captured)} | percentiles_ms(seconds)


def _buy(visitor: Visitor, path: str) -> float:
    """Six requests and what they took; the payment page is made, and left alone."""
    started = time.perf_counter()
    form = next(form for form in forms_of(visitor.get(path)) if "child" in form.choices)
    child, _ = form.choices["child"][0]
    assert visitor.post(path, {**form.fields, "child": child}) == "/cart/"
    visitor.get("/cart/")
    form = next(form for form in forms_of(visitor.get("/checkout/")) if "order" in form.fields)
    page = visitor.post("/checkout/", form.fields)
    assert page.startswith(settings.STRIPE_API_HOST), f"no payment page, but {page}"
    visitor.get(f"/account/orders/{form.fields['order']}/")
    return time.perf_counter() - started
