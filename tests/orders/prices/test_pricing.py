"""What an order costs: examples from the rules, and what holds for every order."""

import datetime

from hypothesis import given
from hypothesis import strategies as st

from orders.prices.pricing import Line, Promo, price_lines

BORN = {
    1: datetime.date(2015, 3, 1),
    2: datetime.date(2017, 5, 1),
    3: datetime.date(2019, 7, 1),
    4: None,
    5: None,
}
BORN[4] = BORN[5] = datetime.date(2020, 1, 1)


def line(key, *, child, cents, course=None):
    return Line(key, child, BORN[child], course or key, cents)


def percent(bps, *courses):
    return Promo("SPRING", bps, 0, frozenset(courses))


def fixed(cents, *courses):
    return Promo("TENOFF", 0, cents, frozenset(courses))


def net(lines, *, paid=(), promo=None):
    return {key: price.net_cents for key, price in price_lines(lines, paid=paid, promo=promo).items()}


def test_the_child_with_the_dearest_line_pays_in_full():
    lines = [line(1, child=1, cents=10000), line(2, child=2, cents=20000), line(3, child=3, cents=5000)]

    assert net(lines) == {2: 20000, 1: 7500, 3: 3250}


def test_children_are_counted_not_classes():
    lines = [line(1, child=1, cents=10000), line(2, child=1, cents=8000), line(3, child=2, cents=9000)]

    assert net(lines) == {1: 10000, 2: 8000, 3: 6750}


def test_children_with_a_paid_place_rank_first_in_the_order_of_their_first_enrollment():
    lines = [line(1, child=3, cents=30000), line(2, child=2, cents=10000)]

    assert net(lines, paid=[1, 2]) == {2: 7500, 1: 19500}


def test_the_fourth_and_every_later_child_gets_45_percent():
    lines = [line(key, child=key, cents=10000) for key in range(1, 6)]

    assert sorted(net(lines).values()) == [5500, 5500, 6500, 7500, 10000]


def test_equal_prices_are_decided_by_age_then_id():
    lines = [line(2, child=5, cents=10000), line(1, child=4, cents=10000), line(3, child=1, cents=10000)]

    assert net(lines) == {3: 10000, 1: 7500, 2: 6500}


def test_a_percent_code_comes_after_the_sibling_discount_and_once_a_class():
    lines = [line(1, child=1, cents=10000, course=7), line(2, child=2, cents=10000, course=7)]

    assert net(lines, promo=percent(1000, 7)) == {1: 9000, 2: 7500}
    assert net(lines, promo=percent(1000, 8)) == {1: 10000, 2: 7500}


def test_a_fixed_code_is_taken_off_once_dearest_line_first():
    lines = [line(1, child=1, cents=3000), line(2, child=1, cents=5000)]

    assert net(lines, promo=fixed(6000, 1, 2)) == {2: 0, 1: 2000}
    assert net(lines, promo=fixed(99999, 1, 2)) == {2: 0, 1: 0}


def test_a_total_too_small_for_stripe_is_covered_by_the_code():
    assert net([line(1, child=1, cents=3000)], promo=fixed(2970, 1)) == {1: 0}


def test_each_reduction_is_explained():
    lines = [line(1, child=1, cents=10000), line(2, child=2, cents=8000)]

    prices = price_lines(lines, paid=[], promo=percent(1000, 2))

    assert prices[1].explanation == []
    assert prices[2].explanation == [
        {"label": "Sibling discount, 2nd child (25%)", "cents": 2000},
        {"label": "Promo code SPRING", "cents": 600},
    ]


prices_cents = st.one_of(st.just(0), st.integers(100, 200_000))
orders = st.lists(
    st.tuples(st.integers(1, 5), st.integers(1, 4), prices_cents),
    min_size=1,
    max_size=8,
    unique_by=lambda row: row[:2],
)
promos = st.one_of(
    st.none(),
    st.builds(
        lambda bps, courses: Promo("P", bps, 0, courses),
        st.integers(1, 10_000),
        st.frozensets(st.integers(1, 4)),
    ),
    st.builds(
        lambda cents, courses: Promo("F", 0, cents, courses),
        st.integers(1, 300_000),
        st.frozensets(st.integers(1, 4)),
    ),
)


@given(rows=orders, promo=promos, paid=st.lists(st.integers(1, 5), unique=True), random=st.randoms())
def test_prices_hold_together_and_do_not_depend_on_the_order_of_lines(rows, promo, paid, random):
    lines = [
        line(key, child=child, course=course, cents=cents) for key, (child, course, cents) in enumerate(rows)
    ]
    prices = price_lines(lines, paid=paid, promo=promo)
    total = sum(price.net_cents for price in prices.values())

    shuffled = random.sample(lines, k=len(lines))

    assert price_lines(shuffled, paid=paid, promo=promo) == prices
    for each in lines:
        price = prices[each.key]
        assert 0 <= price.net_cents <= price.list_cents == each.list_cents
        assert price.list_cents - sum(row["cents"] for row in price.explanation) == price.net_cents
    assert total == 0 or total >= 50


@given(rows=orders, promo=promos, paid=st.lists(st.integers(1, 5), unique=True))
def test_one_more_sibling_or_a_code_never_makes_an_order_more_expensive(rows, promo, paid):
    lines = [
        line(key, child=child, course=course, cents=cents) for key, (child, course, cents) in enumerate(rows)
    ]

    plain = sum(net(lines, paid=paid).values())

    assert sum(net(lines, paid=paid, promo=promo).values()) <= plain
    assert plain <= sum(each.list_cents for each in lines)
