import pytest

from enrollments.models import User


@pytest.fixture
def staff(request):
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")
    return User.objects.create_user("office@example.org", is_staff=True)
