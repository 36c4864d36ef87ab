"""Limits that Stripe publishes and the SDK's types do not express."""

import re
from collections.abc import Mapping

from demo.standins.stripe.objects.errors import StripeError, invalid_request
from demo.standins.stripe.objects.store import Obj

# docs.stripe.com/currencies, minimum and maximum charge amounts: those of two decimals.
MINIMUM_CENTS = {
    **dict.fromkeys(("usd", "aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd"), 50),
    "aed": 200,
    "bgn": 100,
    "czk": 15_00,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 175_00,
    "mxn": 10_00,
    "myr": 200,
    "nok": 300,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "thb": 10_00,
}
MOST_CENTS = 999_999_99  # eight digits, same page

CUSTOMER = {"name": 256, "email": 512}  # docs.stripe.com/api/customers/create
PRODUCT = {"name": 250}  # docs.stripe.com/changelog/2018-10-31/names-products-character-limit
INVOICE_LINE = {"description": 500}  # .../2018-10-31/descriptions-invoice-line-items-character-limit
SESSION = {"client_reference_id": 200, "success_url": 5000, "cancel_url": 5000}  # docs.stripe.com/api

ADDRESS = re.compile(r"[^@\s,;<>()\[\]]+@[^@\s.,;<>()\[\]]+(\.[^@\s.,;<>()\[\]]+)+")
URL = re.compile(r"https?://[^\s/]+(/\S*)?")


def check_lengths(params: Obj, longest: Mapping[str, int], *, inside: str = "") -> None:
    for name, most in longest.items():
        value = params.get(name)
        if isinstance(value, str) and len(value) > most:
            param = f"{inside}[{name}]" if inside else name
            message = f"Invalid string: {value[:10]}...{value[-5:]}; must be at most {most} characters"
            raise invalid_request(message, param)


def check_address(params: Obj) -> None:
    """docs.stripe.com/error-codes, email_invalid."""
    email = params.get("email")
    if email and not ADDRESS.fullmatch(email):
        raise invalid_request(f"Invalid email address: {email}", "email", "email_invalid")


def check_urls(params: Obj, *names: str) -> None:
    """docs.stripe.com/error-codes, url_invalid."""
    for name in names:
        if name in params and not URL.fullmatch(params[name]):
            raise invalid_request("Not a valid URL", name, "url_invalid")


def amount_refused(cents: int, currency: str) -> StripeError | None:
    """docs.stripe.com/error-codes, amount_too_small and amount_too_large."""
    least = MINIMUM_CENTS.get(currency, 50)
    if cents < least:
        message = f"The amount must add up to at least {least} of the smallest unit of {currency}."
        return invalid_request(message, "line_items", "amount_too_small")
    if cents > MOST_CENTS:
        return invalid_request("Amount must be no more than 99999999", "line_items", "amount_too_large")
    return None
