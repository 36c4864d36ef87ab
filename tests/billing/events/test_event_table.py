"""docs/stripe-events.md says for each of Stripe's types of event what happens with it."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import pytest
from stripe.params import WebhookEndpointCreateParams
from typing_extensions import get_type_hints

from billing.events.inbox import FOLLOW_UPS
from billing.events.reconcile import PARTS
from billing.stripe.event_types import EVENT_TYPES, TYPES_AT_ONCE

ROOT = Path(__file__).resolve().parents[3]


def names_of(cell):
    """`a.b.c`, `.d`, `..._e` in a cell: the later ones begin as the one before."""
    last = ""
    for name in re.findall(r"`([^`]+)`", cell):
        if name.startswith("..."):
            name = last.rsplit("_", 1)[0] + name[3:]
        elif name.startswith("."):
            name = last.rsplit(".", 1)[0] + name
        last = name
        yield name


def table():
    """Patterns of event types, and whether we handle them."""
    text = (ROOT / "docs" / "stripe-events.md").read_text()
    for cell, what in re.findall(r"^\| (`.*?) \| (.*?) \|", text, re.MULTILINE):
        for name in names_of(cell):
            yield name, not what.startswith("Not subscribed")


def all_types():
    """As the SDK declares them, for the version that we use."""
    names = {"StripeContext": object, "Mapping": Mapping}
    hints = get_type_hints(WebhookEndpointCreateParams, localns=names, include_extras=True)
    found = set()
    todo = [hints["enabled_events"]]
    while todo:
        for inner in get_args(todo.pop()):
            found.add(inner) if isinstance(inner, str) else todo.append(inner)
    return found - {"*"}


def test_the_table_names_every_event_that_stripe_has():
    patterns = [name for name, _ in table()]
    unnamed = {kind for kind in all_types() if not any(fnmatchcase(kind, name) for name in patterns)}
    assert unnamed == set()


def test_the_table_says_which_events_we_ask_for():
    assert {name for name, is_handled in table() if is_handled} == set(EVENT_TYPES)
    assert set(EVENT_TYPES) <= all_types()


@pytest.mark.parametrize("part", PARTS)
def test_no_list_of_events_is_longer_than_stripe_allows(part):
    assert 0 < len(part) <= TYPES_AT_ONCE
    assert sum(map(len, PARTS)) == len(EVENT_TYPES) == len(set(EVENT_TYPES))


def test_each_follow_up_is_of_an_event_that_we_ask_for():
    assert FOLLOW_UPS.keys() <= set(EVENT_TYPES)
