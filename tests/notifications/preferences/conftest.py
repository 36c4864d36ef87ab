import pytest
from django.core.cache import cache

from tests.factories import create_household
from tests.pages import parent_of
from tests.shop import Shop, accept


@pytest.fixture
def household(db):
    cache.clear()  # of the limits for sign-in codes
    return create_household()


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)


@pytest.fixture
def lead(household):
    return parent_of(household)
