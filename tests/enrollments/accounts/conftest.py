import pytest
from django.core.cache import cache

from tests.enrollments.accounts.signing_in import PASSWORD
from tests.factories import create_guardian, create_household


@pytest.fixture(autouse=True)
def _fresh_limits():
    cache.clear()


@pytest.fixture
def parent():
    user = create_guardian(household=create_household())
    user.set_password(PASSWORD)
    user.save()
    return user
