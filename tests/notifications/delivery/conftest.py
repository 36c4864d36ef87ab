import pytest

from tests.notifications.delivery.signed_events import PUBLIC


@pytest.fixture(autouse=True)
def public_key(settings):
    settings.ANYMAIL = settings.ANYMAIL | {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": PUBLIC}
