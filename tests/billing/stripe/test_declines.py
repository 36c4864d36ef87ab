"""The whole table of declines: code x advice -> class; and no string ever breaks it."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.installments.dunning import next_try_on
from billing.stripe.decline_codes import CLASS_BY_CODE, Decline, DeclineClass, decline_of, decline_words

anything = st.text(max_size=40)


@pytest.mark.parametrize(("code", "kind"), sorted(CLASS_BY_CODE.items()))
def test_each_listed_code_has_its_class(code, kind):
    assert Decline(code="card_declined", decline_code=code).kind == kind


@pytest.mark.parametrize(
    ("decline", "kind"),
    [
        (Decline(code="expired_card"), DeclineClass.CARD),
        (Decline(code="card_declined"), DeclineClass.SOFT),
        (Decline(code="card_declined", decline_code="brand_new"), DeclineClass.UNLISTED),
        (Decline(), DeclineClass.UNLISTED),
        (Decline(decline_code="insufficient_funds", advice_code="do_not_try_again"), DeclineClass.HARD),
        (Decline(decline_code="do_not_honor", advice_code="confirm_card_data"), DeclineClass.CARD),
        (Decline(decline_code="brand_new", advice_code="try_again_later"), DeclineClass.SOFT),
        (Decline(decline_code="stolen_card", advice_code="try_again_later"), DeclineClass.HARD),
        (Decline(decline_code="do_not_honor", network_advice_code="03"), DeclineClass.HARD),
        (Decline(decline_code="do_not_honor", network_advice_code="01"), DeclineClass.CARD),
    ],
)
def test_advice_counts_more_than_the_code_but_softens_nothing_hard(decline, kind):
    assert decline.kind == kind


@given(anything, anything, anything, anything)
def test_no_string_breaks_it(code, decline_code, advice, network):
    decline = decline_of(
        {"code": code, "decline_code": decline_code, "advice_code": advice, "network_advice_code": network}
    )

    assert decline.kind in DeclineClass
    words = decline_words(decline.reason)
    assert words.endswith(".")
    assert "stolen" not in words
    assert "fraud" not in words


@pytest.mark.parametrize("missing", [{}, {"code": None}, {"decline_code": 7}])
def test_an_error_without_codes_is_unlisted(missing):
    assert decline_of(missing).kind == DeclineClass.UNLISTED


DUE = datetime.date(2026, 2, 27)


@pytest.mark.parametrize(
    ("after_days", "wait_days", "expected_days"),
    [
        (0, 0, 3),
        (1, 0, 3),
        (2, 0, 3),
        (3, 0, 7),
        (5, 0, 7),
        (7, 0, 14),
        (14, 0, None),
        (20, 0, None),
        (0, 4, 7),
        (0, 10, 14),
    ],
)
def test_the_next_try_is_the_next_dunning_day_after_the_networks_wait(after_days, wait_days, expected_days):
    found = next_try_on(due_on=DUE, on=DUE + datetime.timedelta(days=after_days), wait_days=wait_days)

    assert found == (None if expected_days is None else DUE + datetime.timedelta(days=expected_days))
