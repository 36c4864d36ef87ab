"""Which currencies the school may charge in: only those with two decimals, because amounts are whole
hundredths everywhere."""

from babel.core import get_global
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
DECIMALS = 2


def decimals_of(currency: str) -> int:
    """How many decimals its amounts have, and therefore how Stripe counts them."""
    return get_currency_precision(currency.upper())


def why_not_charged(currency: str, *, minimum_cents: int) -> str:
    """Why the school cannot charge in this currency, for the operator; empty if it can."""
    if currency.upper() not in _in_use():
        return f"CURRENCY {currency!r} is not a currency. Set it to a three-letter code, such as usd."
    if (decimals := decimals_of(currency)) != DECIMALS:
        return f"CURRENCY {currency!r} has {decimals} decimals; only currencies with two can be charged."
    least_cents = STRIPE_MINIMUM_CENTS.get(currency, 1)
    if minimum_cents < least_cents:
        known = f"at least {least_cents}" if currency in STRIPE_MINIMUM_CENTS else "about 50 US cents"
        return f"Set MINIMUM_CHARGE_CENTS, the smallest charge in {currency!r} that Stripe accepts: {known}."
    return ""


def _in_use() -> set[str]:
    """The codes of currencies that are legal tender somewhere today."""
    histories = get_global("territory_currencies").values()
    return {code for history in histories for code, _, until, is_tender in history if is_tender and not until}
