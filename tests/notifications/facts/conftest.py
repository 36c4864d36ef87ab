import pytest


@pytest.fixture
def _new_york(settings):
    settings.SCHOOL_TIME_ZONE = "America/New_York"
