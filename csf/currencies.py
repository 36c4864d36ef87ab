"""The decimals of a currency, and the smallest charge in it."""

from babel.numbers import get_currency_precision

# The smallest amount that Stripe accepts, in hundredths: https://docs.stripe.com/currencies, "Minimum and
# maximum charge amounts", as of 2026-11. It is the minimum of an account that settles in the same currency.
STRIPE_MINIMUM_CENTS = {
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
}


def decimals_of(currency: str) -> int:
    """How many decimals its amounts have, and therefore how Stripe counts them."""
    return get_currency_precision(currency.upper())
