"""What only a real browser can tell: a family's whole way on a phone, and how every page looks to axe,
to a narrow screen and to the console (tests/e2e/test_emails.py looks at the emails).

With CSF_PICTURES=DIRECTORY each page is kept as a picture there, to look through.
"""

import os
import re
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from axe_playwright_python.base import AXE_SCRIPT
from django.contrib import admin
from django.contrib.admin.templatetags.admin_urls import admin_urlname
from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.holds import end_unpaid_order
from billing.checkout.payment_page import payment_page
from billing.checkout.place_order import place_order
from billing.models import Card, Payment, PaymentPlan
from demo.standins.mailbox import await_email
from enrollments.classes.waitlist import fill, join
from enrollments.locks import lock_course
from enrollments.models import Course, Enrollment
from notifications.models import EmailMessage
from orders.models import Order, OrderStatus
from tests.e2e.every_page import PAGES, PASSWORD
from tests.factories import create_cart, create_course, create_household, create_order, create_staff
from tests.shop import NO_MONEY, VISA
from tests.waiting import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("browser")]

ANOTHER_CARD = "4000000000007726"
PICTURES = os.environ.get("CSF_PICTURES")
EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SCHEMES = {"light": EVERYTHING, "dark": ["color-contrast"]}  # nothing but the colours depends on the scheme


# --- A family's way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_family_registers_pays_and_cancels_on_a_phone(open_window, site, scripts):
    page = open_window(java_script_enabled=scripts, is_mobile=True, has_touch=True)
    family = f"Moreau{'' if scripts else 'x'}"

    page.goto("/")
    page.get_by_role("link", name="Sign in").click()
    page.get_by_role("link", name="Create an account").click()
    sign_up(page, site.mail, family)
    add_child(page, "Lina", family)
    choose_class(page, "Lina")
    use_promo_code(page)
    page.get_by_role("link", name="Continue to checkout").click()
    page.get_by_role("button", name=re.compile("Place order and pay")).dblclick()
    page.wait_for_url(re.compile(f"{re.escape(site.stripe)}/pay/|/account/orders/"))
    reach_payment_page(page, site)

    order = Order.objects.placed().get(household__name=f"{family} family")
    page.go_back()  # from the payment page; the cart went into the order
    reach_payment_page(page, site)
    pay(page, NO_MONEY)
    expect(page.get_by_role("alert")).to_contain_text("insufficient funds")
    pay(page, VISA)
    expect(page.get_by_text("Your order is confirmed and the places are yours")).to_be_visible()

    page.get_by_text("Cancel Lina in").click()
    page.get_by_role("link", name="Cancel this class (Lina in").click()
    page.get_by_role("button", name="Cancel this class").click()
    expect(page.get_by_role("status")).to_contain_text("Lina is no longer enrolled")

    order.refresh_from_db()
    assert Order.objects.filter(household=order.household).exclude(status=OrderStatus.DRAFT).get() == order
    assert order.status == OrderStatus.CANCELLED
    assert [payment.amount_cents for payment in Payment.objects.filter(order=order)] == [order.total_cents]
    assert page.problems == []


def sign_up(page, mail, family):
    email = f"{family.lower()}@example.org"
    page.get_by_label("First name").fill("Camille")
    page.get_by_label("Last name").fill(family)
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create my account").click()
    expect(page.get_by_role("heading", name="Check your email")).to_be_visible()
    [code] = re.findall(r"\b\d{6}\b", await_email(mail, email, "account_confirm_email")["text"])
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def add_child(page, first_name, family):
    page.get_by_role("link", name="My account").click()
    page.get_by_role("link", name=re.compile("^Children")).click()
    page.get_by_role("link", name="Add a child").click()
    page.get_by_label("First name").fill(first_name)
    page.get_by_label("Last name").fill(family)
    page.get_by_label("Date of birth").fill((date.today() - timedelta(days=365 * 9 + 100)).isoformat())
    page.get_by_label("Name", exact=True).first.fill("Robin Neighbor")
    page.get_by_label("Phone").first.fill("+1 555 010 0199")
    page.get_by_label("Relationship to the child").first.fill("neighbor")
    page.get_by_role("button", name="Add the child").click()
    expect(page.get_by_role("heading", name=first_name)).to_be_visible()


def choose_class(page, first_name):
    """By the filters of the catalog, which start folded on a phone."""
    page.get_by_role("link", name="Classes", exact=True).click()
    expect(page.get_by_role("heading", name="Find a class")).to_be_visible()
    page.wait_for_load_state("domcontentloaded")  # all classes, not just the first of them
    everything = page.locator(".class").count()
    page.get_by_text("Filter classes").click()
    page.get_by_label("Child's age").fill("9")
    page.get_by_label("Only classes with places left").check()
    page.get_by_role("button", name="Show classes").click()
    page.wait_for_url("**age=9**")
    assert 0 < page.locator(".class").count() < everything
    page.get_by_role("link", name="Football Foundations").click()
    page.get_by_role("radio", name=re.compile(first_name)).check()
    page.get_by_role("button", name="Add to cart").click()
    expect(page.get_by_role("heading", name="Cart")).to_be_visible()


def use_promo_code(page):
    page.get_by_label("Promo code").fill("NOPE")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_label("Promo code")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Promo code")).to_have_value("NOPE")
    page.get_by_label("Promo code").fill("WELCOME10")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Discounts")).to_be_visible()


def reach_payment_page(page, site):
    """By pressing as often as it takes: a page gives up on Stripe after five seconds."""
    while not page.url.startswith(site.stripe):
        with page.expect_navigation():
            page.get_by_role("button", name=re.compile(r"^Pay \$")).click()


def pay(page, card):
    page.get_by_label("Card number").fill(card)
    page.get_by_role("button", name=re.compile(r"^Pay \d")).first.click()


# --- Every page ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def family(site):
    """Families in every state that a page can show."""
    now = timezone.now()
    household = create_household(children=2, name="Lindqvist")
    parent = household.guardians.get()
    slugs = ["football-foundations", "dolphin-swim", "street-dance", "clay-club"]
    football, swim, dance, clay = (Course.objects.get(slug=slug) for slug in slugs)
    paid = create_order(household=household, courses=[football, swim])
    payment = payment_page(order=paid, by=parent, now=now)
    requests.post(payment, data={"card": VISA}, timeout=60).raise_for_status()
    ended = create_order(household=household, courses=[dance])
    end_unpaid_order(order=ended, to=OrderStatus.CANCELLED, by=parent, reason="changed plans")
    placed = create_cart(household=household, courses=[dance])
    plan = PaymentPlan.objects.create(name="Two monthly installments", parts=2)
    place_order(order=placed, by=parent, now=now, plan=plan)
    wait_until(lambda: Order.objects.get(pk=paid.pk).status == OrderStatus.CONFIRMED)
    given_up, kept = Enrollment.objects.filter(order_item__order=paid)
    cancel_enrollment(enrollment=given_up, by=parent, reason="too far away", now=now)
    sibling = household.children.last()  # who gets the discount
    create_cart(household=household, courses=[clay]).items.update(child=sibling)
    saver = create_household(name="Okafor").guardians.get()
    parts = [order_in_parts(saver, plan, card) for card in (VISA, ANOTHER_CARD)]
    return SimpleNamespace(
        parent=parent,
        saver=saver,
        later_part=parts[0].installments.last(),
        offered=offered_place(),
        newcomer=create_household(children=0, name="Empty").guardians.get(),
        child=sibling,
        kept=kept,
        orders={"placed": placed, "confirmed": paid, "cancelled": ended, "in parts": parts[0]},
        course=swim,
    )


def order_in_parts(parent, plan, card):
    """The first part is paid by `card`, which pays the later ones too."""
    order = create_cart(household=parent.household)
    place_order(order=order, by=parent, now=timezone.now(), plan=plan)
    page = payment_page(order=order, by=parent, now=timezone.now())
    requests.post(page, data={"card": card}, timeout=60).raise_for_status()
    wait_until(lambda: Card.objects.filter(agreements__order=order).exists())
    return order


def offered_place():
    course = create_course()
    place = join(child=create_household(name="Haddad").children.get(), course=course)
    with transaction.atomic():
        fill(lock_course(course.pk), now=timezone.now())
    return place


# axe cannot see that the page offers a link to the order without the reloading.
RELOADING = {"meta-refresh": {"enabled": False}}


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible_narrow_and_quiet(open_window, family, name):
    who, go, words = PAGES[name]
    page = open_window(user=getattr(family, who) if who else None)

    go(page, family)

    expect(page.locator("body")).to_contain_text(words)
    assert look(page, name, widths=[320, 1200], rules=RELOADING if name == "order being paid" else None) == []


# Words of up to 12 letters that stand on more than one line: names broken into letters. Parts of an email
# address may, and what a no-break space joins to the word before it.
BROKEN_WORDS = """() => {
  const found = [], walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.checkVisibility() || node.parentElement.closest('.unseen')) continue;
    for (const word of node.data.matchAll(/\\p{L}{3,12}/gu)) {
      const before = node.data.slice(0, word.index), after = node.data.slice(word.index);
      if (/[@.][^ ]*$|\u00a0$/.test(before) || /^[^ ]*@/.test(after)) continue;
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(box => Math.round(box.top)));
      if (lines.size > 1) found.push(word[0]);
    }
  }
  return found;
}"""


LARGE = ["cart", "checkout", "account", "order placed", "order confirmed", "children", "class, signed in"]
LARGE += ["account, in parts", "order in parts", "choose a card", "replace a card", "terms"]


@pytest.mark.parametrize("name", LARGE)
def test_text_of_twice_the_size_breaks_no_word(open_window, family, name):
    """WCAG 1.4.4, on a phone."""
    who, go, words = PAGES[name]
    page = open_window(user=getattr(family, who) if who else None)
    go(page, family)
    expect(page.locator("body")).to_contain_text(words)

    page.evaluate("document.documentElement.style.fontSize = '200%'")

    assert page.evaluate(BROKEN_WORDS) == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}, large text.png", full_page=True)


# Buttons and links whose accessible name does not hold the words that people see (WCAG 2.5.3).
UNHEARD = """() => [...document.querySelectorAll('a[aria-label], button[aria-label], summary[aria-label]')]
  .filter(e => !e.ariaLabel.toLowerCase().includes(e.innerText.trim().toLowerCase()))
  .map(e => `${e.innerText} is called ${e.ariaLabel}`)"""


def look(page, name, *, widths, rules=None):
    """All that is wrong with a page, at each width, in light and dark."""
    wrong = page.evaluate(UNHEARD)
    page.evaluate(AXE_SCRIPT)
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        wrong += sideways(page)
        for scheme, checks in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            wrong += [f"{width} {scheme}: {found}" for found in violations(page, checks, rules)]
            if PICTURES:
                page.screenshot(path=Path(PICTURES) / f"{name}, {width} {scheme}.png", full_page=True)
    return wrong + page.problems


def sideways(page):
    is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return [f"scrolls sideways at {page.viewport_size['width']}"] if is_wide else []


def violations(page, checks, rules=None):
    options = {"runOnly": checks, "rules": rules or {}, "resultTypes": ["violations"]}
    return [
        f"{violation['id']} {node['html'][:200]} {node['failureSummary']}"
        for violation in page.evaluate("options => axe.run(options)", options)["violations"]
        for node in violation["nodes"]
    ]


# --- The office ---------------------------------------------------------------------------------------------


def pages_of_rows(family):
    email = EmailMessage.objects.filter(kind="payment_success").latest("pk")
    rows = [family.orders["confirmed"], family.parent.household, family.child, family.course, email]
    return [reverse(admin_urlname(row._meta, "change"), args=[row.pk]) for row in rows]


def test_office_pages_are_narrow_and_readable_in_the_dark(open_window, family):
    page = open_window(user=create_staff(), color_scheme="dark")
    addresses = [reverse("admin:index"), reverse("admin:tomorrow"), reverse("admin:email_statistics")]
    addresses += [reverse("admin:csf_stafftask_changelist"), *pages_of_rows(family)]
    wrong = {}

    for address in addresses:
        page.goto(address)
        expect(page.locator("html")).to_have_class(re.compile("dark"))
        page.evaluate(AXE_SCRIPT)
        if found := [*sideways(page), *violations(page, ["color-contrast"])]:
            wrong[address] = found

    assert wrong == {}


def test_office_pages_are_quiet(open_window, family):
    page = open_window(user=create_staff(), viewport={"width": 1200, "height": 900})
    addresses = [
        reverse("admin:index"),
        *(reverse(admin_urlname(model._meta, "changelist")) for model in admin.site._registry),
        *pages_of_rows(family),
    ]
    wrong = {}

    for number, address in enumerate(addresses):
        answer = page.goto(address)
        if answer.status != 200 or page.problems:
            wrong[address] = [answer.status, *page.problems]
            page.problems.clear()
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"office {number}.png", full_page=True)

    assert wrong == {}
