"""Two acts at the same moment, and one in the middle of another."""

from functools import partial

import pytest
from django.db import IntegrityError

from csf.refusal import NotPossible
from csf.state import Stale
from tests import rivals

at_once = partial(rivals.at_once, lost=(NotPossible, Stale, IntegrityError))


rounds = pytest.mark.parametrize("rounds", [1, pytest.param(25, marks=pytest.mark.chaos)])


def apart(act):
    """In a thread of its own, with its own connection; waits for its end."""
    return at_once(act)[0]


def meanwhile(monkeypatch, module, name, rival, *, after=False):
    """`rival` runs once and to its end when this function is called next, before it or after it.

    Gives the list into which goes what it came to.
    """
    real, came_to = getattr(module, name), []
    waiting = [rival]

    def run(*args, **options):
        if waiting and not after:
            came_to.append(apart(waiting.pop()))
        try:
            return real(*args, **options)
        finally:
            if waiting and after:
                came_to.append(apart(waiting.pop()))

    monkeypatch.setattr(module, name, run)
    return came_to
