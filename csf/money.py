"""Money is integer cents. This is the only place that rounds it or turns it into text."""

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache

from babel.numbers import format_currency
from django.conf import settings

from csf.currencies import decimals_of
from csf.language import babel_locale


def share_cents(amount_cents: int, basis_points: int) -> int:
    """A percentage of an amount, half a cent rounded away from zero. 2500 basis points are 25 %."""
    return int((Decimal(amount_cents) * basis_points / 10_000).quantize(Decimal(1), ROUND_HALF_UP))


def pro_rata_cents(amount_cents: int, part: int, whole: int) -> int:
    """`part` of `whole` shares of an amount, half a cent rounded away from zero."""
    return int((Decimal(amount_cents) * part / whole).quantize(Decimal(1), ROUND_HALF_UP))


def percent_text(basis_points: int) -> str:
    """`1250` as "12.5%"."""
    return f"{Decimal(basis_points) / 100:.2f}".rstrip("0").rstrip(".") + "%"


def money_text(cents: int) -> str:
    """`123456` as "$1,234.56", in the school's currency."""
    return _money_text(cents, babel_locale())


def decimal_text(cents: int) -> str:
    """`123456` as "1234.56", for machines."""
    return str(Decimal(cents).scaleb(-decimals_of(settings.CURRENCY.upper())))


@lru_cache(maxsize=4096)
def _money_text(cents: int, locale: str) -> str:
    currency = settings.CURRENCY.upper()
    return format_currency(Decimal(cents).scaleb(-decimals_of(currency)), currency, locale=locale)
