"""The proof of the proof: each kind of wrong is planted with a history that looks right, and found by its own
invariant alone."""

import pytest
from django.db import transaction
from django.utils import timezone

from csf.proofs.invariants import registered, violations
from tests.planted import books, cards, charges, emails, places, refunds
from tests.planted.charges import paid_too_much
from tests.planted.school import DAY, HOUR, build, sql

GROUPS = [places, charges, cards, books, refunds, emails]


class Undo(Exception):
    pass


def found_after(plant):
    """What a look at everything finds, and what one at all that was touched for months would miss of it."""
    rules = {rule.broken: rule for rule in registered()}
    months_ago = timezone.now() - 200 * DAY
    found = []
    try:
        with transaction.atomic():
            plant()
            for violation in violations():
                narrow = rules[violation.broken].find_since
                is_missed = narrow is not None and not list(narrow(months_ago))
                missed = ", but not by a narrow look" if is_missed else ""
                found.append(f"{violation.number} {violation.broken}{missed}")
            raise Undo
    except Undo:
        pass
    return found


def test_each_kind_of_wrong_is_found_by_its_own_invariant_alone(shop, mail_server):
    build(shop)
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    assert violations() == []

    planted = {plant: words for group in GROUPS for words, plants in group.PLANTS.items() for plant in plants}
    wrong = {
        plant.__name__: found for plant, words in planted.items() if (found := found_after(plant)) != [words]
    }
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())
    assert len(planted) >= 95

    now = timezone.now()
    assert violations(now - DAY) == violations() == []
    paid_too_much()
    assert violations(now + HOUR) == []
    assert [found.number for found in violations(now - DAY)] == ["M8"]


@pytest.mark.django_db
def test_no_invariant_is_without_its_plant():
    planted = {words for group in GROUPS for words in group.PLANTS}
    assert planted == {f"{rule.number} {rule.broken}" for rule in registered()}
