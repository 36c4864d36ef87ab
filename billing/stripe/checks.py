"""What Stripe would refuse, or what would charge the wrong account, is refused at start."""

import re
from collections.abc import Iterable
from typing import Any

from babel.core import get_global
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from csf.currencies import STRIPE_MINIMUM_CENTS, decimals_of
from csf.startup.checks import is_loopback

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.ASCII)
DECIMALS = 2  # amounts are whole hundredths everywhere


@register()
def account(**kwargs: Any) -> Iterable[CheckMessage]:
    host, is_live = getattr(settings, "STRIPE_API_HOST", ""), settings.STRIPE_LIVE_MODE
    if host and (settings.IS_PRODUCTION or is_live or not is_loopback(host)):
        yield Error(
            "STRIPE_API_HOST is for the stand-in: it must be a loopback address, outside production, "
            "with a test key. Unset it to talk to Stripe.",
            id="csf.E003",
        )
    mode = "live" if is_live else "test"
    is_key = settings.STRIPE_SECRET_KEY.startswith((f"sk_{mode}_", f"rk_{mode}_"))
    if settings.IS_PRODUCTION and not is_key:
        yield Error(f"Set STRIPE_{mode.upper()}_SECRET_KEY to a {mode} key of your account.", id="csf.E004")
    if settings.STRIPE_PAGES_DOMAIN and not DOMAIN.fullmatch(settings.STRIPE_PAGES_DOMAIN):
        yield Error("STRIPE_PAGES_DOMAIN must be a bare domain, such as pay.example.org.", id="csf.E018")


@register()
def amounts(**kwargs: Any) -> Iterable[CheckMessage]:
    minimum_cents: int = settings.MINIMUM_CHARGE_CENTS
    if why_not := _why_not_charged(settings.CURRENCY, minimum_cents):
        yield Error(why_not, id="csf.E040")
    elif minimum_cents > settings.MINIMUM_INSTALLMENT_CENTS:
        yield Error(
            f"MINIMUM_INSTALLMENT_CENTS must be at least {minimum_cents}: Stripe does not accept smaller "
            "charges.",
            id="csf.E041",
        )


def _why_not_charged(currency: str, minimum_cents: int) -> str:
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
