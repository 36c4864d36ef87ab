import pytest

from tests.shop import Shop, accept


@pytest.fixture
def shop(db, stripe_server):
    accept()
    return Shop(stripe_server)
