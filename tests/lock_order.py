"""Fails a test that locks rows in another order than household, courses, orders, installments, or courses and
orders not by their ids: against another transaction that keeps to it, that is a deadlock."""

import copy
from collections import defaultdict
from threading import local

from django.db import transaction

from billing.models import Installment
from csf.database import row_locks
from enrollments.models import Course, Household
from orders.models import Order

RANKS = [Household, Course, Order, Installment]
_under_lock = row_locks._under_lock
_begin, _end = transaction.Atomic.__enter__, transaction.Atomic.__exit__


class WrongOrder(AssertionError):
    pass


class Held(local):
    """Of this thread's transaction: the ids by model."""

    def __init__(self):
        self.ids = defaultdict(set)
        self.before = []
        """As it was when each of the blocks began that are open."""


held = Held()


def checked(rows):
    model = rows.model
    found = _under_lock(rows)
    if model in RANKS:
        new = {row.pk for row in found} - held.ids[model]
        later = [other for other in RANKS[RANKS.index(model) + 1 :] if held.ids[other]]
        if new and later:
            raise WrongOrder(f"{model.__name__} {new} after {later[0].__name__}")
        held.ids[model] |= new
    return found


def begin(block):
    _begin(block)
    held.before.append(copy.deepcopy(held.ids))


def end(block, *how):
    """What is rolled back gives its locks back. A test's own transaction never ends; what it calls counts as
    one each."""
    before = held.before.pop() if held.before else defaultdict(set)
    _end(block, *how)
    connection = transaction.get_connection(block.using)
    if all(outer._from_testcase for outer in connection.atomic_blocks):
        held.ids.clear()
    elif how[0] is not None:
        held.ids = before


def outermost():
    """A transaction that stands around a whole test: what the test calls in it counts as one each."""
    block = transaction.atomic()
    block._from_testcase = True
    return block


def watch(monkeypatch):
    held.ids.clear()
    held.before.clear()
    monkeypatch.setattr(row_locks, "_under_lock", checked)
    monkeypatch.setattr(transaction.Atomic, "__enter__", begin)
    monkeypatch.setattr(transaction.Atomic, "__exit__", end)
