"""Settings of the tests: the product's own, with keys and ports of this test process."""

import atexit
import os
import socket


def _own_ports() -> int:
    """The first of ten ports that no other test process has, also of another checkout: each keeps its first
    one bound. The processes that a test starts find its choice in their environment."""
    name = f"CSF_TEST_PORTS_{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    for first in range(18500, 28500, 10):
        if name in os.environ:
            break
        try:
            _reserved.bind(("127.0.0.1", first))
        except OSError:
            continue
        os.environ[name] = str(first)
    return int(os.environ[name])


# Each parallel worker has its own stand-ins. dj-stripe reads the Stripe address once, when Django loads.
_reserved = socket.socket()
atexit.register(_reserved.close)
_first_port = _own_ports()
STRIPE_PORT, MAIL_PORT, SITE_PORT = _first_port + 1, _first_port + 2, _first_port + 3

os.environ.update(
    CSF_MODE="test",
    SECRET_KEY="only-for-tests-" + "x" * 40,
    STRIPE_TEST_SECRET_KEY="sk_test_" + "1" * 24,
    STRIPE_API_HOST=f"http://127.0.0.1:{STRIPE_PORT}",
    SENDGRID_API_KEY="SG.tests",
    SENDGRID_API_URL=f"http://127.0.0.1:{MAIL_PORT}/v3/",
    SITE_URL=f"http://127.0.0.1:{SITE_PORT}",
    SCHOOL_TIME_ZONE="America/New_York",
)

from csf.settings import *  # noqa: E402, F403 - the environment has to stand first

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = WHITENOISE_USE_FINDERS = True  # tests collect no static files
STRIPE_CHARGES_PER_S = 0  # as fast as it goes, but where the pace is what a test is about
