import pytest

from tests.factories import create_staff


@pytest.fixture
def staff(client, db):
    client.user = create_staff()
    client.force_login(client.user)
    return client
