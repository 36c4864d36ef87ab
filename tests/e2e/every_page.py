"""The way to every page that people see, for a browser."""

from django.template.loader import render_to_string
from django.urls import reverse

from billing.ledger.signed_links import offer_token, pay_link_path

PASSWORD = "a-long-sentence-of-mine"


def at(name, *arguments, query=""):
    return lambda page, family: page.goto(reverse(name, args=arguments) + query)


def at_order(state):
    return lambda page, family: page.goto(family.orders[state].get_absolute_url())


def at_paying(page, family):
    """The page loads itself again and again; here only once, so that it can be looked at in peace."""
    first = iter([True])
    page.route(
        "**/*paid", lambda route: route.continue_() if next(first, False) else route.fulfill(status=204)
    )
    page.goto(family.orders["placed"].get_absolute_url() + "?paid")


def at_child(page, family):
    page.goto(reverse("edit_child", args=[family.child.public_id]))


def at_course(page, family):
    page.goto(family.course.get_absolute_url())


def at_later_part(page, family):
    page.goto(pay_link_path(family.later_part))


def at_offer(page, family):
    page.goto(reverse("offer", args=[offer_token(family.offered)]))


def at_replace_card(page, family):
    page.goto(reverse("change_card"))
    with page.expect_navigation():
        page.get_by_role("link", name="Replace card").first.click()


def at_cancel_order(page, family):
    page.goto(reverse("cancel_order", args=[family.orders["placed"].public_id]))


def at_cancel_enrollment(page, family):
    page.goto(reverse("cancel_enrollment", args=[family.kept.public_id]))


def sent(name, button, **typed):
    """The page that answers a form, by default left empty."""

    def send(page, family):
        page.goto(reverse(name))
        for label, text in typed.items():
            page.get_by_label(label.replace("_", " ")).first.fill(text)
        press(page, button)

    return send


def press(page, button):
    with page.expect_navigation():
        page.get_by_role("button", name=button).click()


def at_lost_cookies(page, family):
    page.goto(reverse("account_login"))
    page.context.clear_cookies()
    press(page, "Sign in")


def at_template(status, name):
    """An answer that a site in order does not give, or not to a few tests."""

    def show(page, family):
        answer = {"status": status, "body": render_to_string(name), "content_type": "text/html"}
        page.route("**/out-of-order", lambda route: route.fulfill(**answer))
        page.goto("/out-of-order")

    return show


ANYBODY, NEWCOMER, PARENT, SAVER = None, "newcomer", "parent", "saver"
PAGES = {
    "catalog": (ANYBODY, at("catalog"), "Find a class"),
    "catalog, nothing fits": (ANYBODY, at("catalog", query="?age=0&openings=on"), "No classes match"),
    "catalog, bad filter": (ANYBODY, at("catalog", query="?age=99"), "Enter the age"),
    "class, signed out": (ANYBODY, at_course, "Sign in to register"),
    "terms": (ANYBODY, at("terms"), "Cancelling and refunds"),
    "privacy": (ANYBODY, at("privacy"), "What we keep"),
    "pay an installment": (ANYBODY, at_later_part, "Your installment"),
    "offered place": (ANYBODY, at_offer, "We are holding it for you until"),
    "sign in": (ANYBODY, at("account_login"), "Sign in"),
    "sign in, refused": (
        ANYBODY,
        sent("account_login", "Sign in", Email="nobody@example.org", Password="wrong-password"),
        "not correct",
    ),
    "sign in by code": (ANYBODY, at("account_request_login_code"), "Sign in with a code"),
    "sign in by code, typed wrong": (
        ANYBODY,
        lambda page, family: [
            sent("account_request_login_code", "Send me the code", Email=family.parent.email)(page, family),
            page.get_by_label("Code").fill("000000"),
            press(page, "Continue"),
        ],
        "Check your email",
    ),
    "sign up": (ANYBODY, at("account_signup"), "Create an account"),
    "sign up, errors": (ANYBODY, sent("account_signup", "Create my account", Email="no address"), "required"),
    "sign up, code": (
        ANYBODY,
        sent(
            "account_signup",
            "Create my account",
            First_name="A",
            Last_name="B",
            Email="a.new.parent.with.a.long.address@subdomain.of.some.example.org",
            Password=PASSWORD,
        ),
        "six-digit code",
    ),
    "reset password": (ANYBODY, at("account_reset_password"), "Forgot your password"),
    "reset password, asked": (
        ANYBODY,
        sent("account_reset_password", "Send me the link", Email="nobody@example.org"),
        "Check your email",
    ),
    "not found": (ANYBODY, at("course", "no-such-class"), "cannot find that page"),
    "too many tries": (ANYBODY, at_template(429, "429.html"), "Too many attempts"),
    "lost cookies": (ANYBODY, at_lost_cookies, "Please try again"),
    "bad request": (ANYBODY, at_template(400, "400.html"), "We could not read"),
    "busy": (ANYBODY, at_template(503, "busy.html"), "We are busy right now"),
    "out of order": (ANYBODY, at_template(500, "500.html"), "This is our fault"),
    "children, none": (NEWCOMER, at("children"), "Add your children here"),
    "cart, empty": (NEWCOMER, at("cart"), "Your cart is empty"),
    "account, no orders": (NEWCOMER, at("account"), "You have no orders yet"),
    "class, no children": (NEWCOMER, at_course, "First add your child"),
    "not for parents": (NEWCOMER, at("admin:index"), ""),
    "add a child": (PARENT, at("add_child"), "Emergency contacts"),
    "add a child, errors": (
        PARENT,
        sent("add_child", "Add the child", Date_of_birth="2999-01-01"),
        "in the future",
    ),
    "children": (PARENT, at("children"), "Emergency contacts"),
    "child": (PARENT, at_child, "Save"),
    "class, signed in": (PARENT, at_course, "Who is this class for?"),
    "cart": (PARENT, at("cart"), "Continue to checkout"),
    "cart, bad code": (PARENT, sent("cart", "Apply", Promo_code="NOPE"), "This code is not valid"),
    "checkout": (PARENT, at("checkout"), "Check and place your order"),
    "order placed": (PARENT, at_order("placed"), "Your places are held until"),
    "order being paid": (PARENT, at_paying, "being confirmed"),
    "order confirmed": (PARENT, at_order("confirmed"), "the places are yours"),
    "order cancelled": (PARENT, at_order("cancelled"), "This order was cancelled"),
    "cancel an order": (PARENT, at_cancel_order, "Cancel this order?"),
    "cancel a class": (PARENT, at_cancel_enrollment, "What will happen"),
    "account": (PARENT, at("account"), "Orders"),
    "account, in parts": (SAVER, at("account"), "Cards for your installments"),
    "order in parts": (SAVER, at_order("in parts"), "the places are yours"),
    "choose a card": (SAVER, at("change_card"), "Which card would you like to replace?"),
    "replace a card": (SAVER, at_replace_card, "What the new card will pay for"),
    "change password": (PARENT, at("account_change_password"), "Change your password"),
    "change address": (PARENT, at("account_email"), "Your email address"),
    "second step": (PARENT, at("mfa_index"), "Two-step sign-in"),
    "sign out": (PARENT, at("account_logout"), "Sign out?"),
}
