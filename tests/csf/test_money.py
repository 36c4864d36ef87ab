from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csf.money import money_text, share_cents


@pytest.mark.parametrize(
    ("cents", "text"), [(0, "$0.00"), (5, "$0.05"), (123456, "$1,234.56"), (100_000_000, "$1,000,000.00")]
)
def test_money_text(cents, text):
    assert money_text(cents) == text


@pytest.mark.parametrize(
    ("amount_cents", "basis_points", "share"),
    [(10000, 2500, 2500), (999, 2500, 250), (2, 2500, 1), (1, 5000, 1), (1, 4999, 0), (0, 10000, 0)],
)
def test_half_a_cent_is_rounded_up(amount_cents, basis_points, share):
    assert share_cents(amount_cents, basis_points) == share


@given(st.integers(0, 10_000_000), st.integers(0, 10_000))
def test_a_share_is_never_more_than_half_a_cent_off(amount_cents, basis_points):
    share = share_cents(amount_cents, basis_points)

    assert 0 <= share <= amount_cents
    assert abs(Decimal(share) - Decimal(amount_cents) * basis_points / 10_000) <= Decimal("0.5")
