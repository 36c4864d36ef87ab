import pytest

from tests.shop import Shop, accept


@pytest.fixture
def shop(request, stripe_server):
    """Stripe's stand-in with our account known; in a transaction unless the test asks for `committed_db`."""
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")
    accept()
    return Shop(stripe_server)
