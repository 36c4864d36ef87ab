"""Settings of the tests: the product's own, with keys and ports of this test process."""

import os

# Each parallel worker has its own stand-ins. dj-stripe reads the Stripe address once, when Django loads.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first_port = int(os.environ.get("CSF_TEST_PORTS", "18500")) + 10 * _worker
STRIPE_PORT, MAIL_PORT, SITE_PORT = _first_port, _first_port + 1, _first_port + 2

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
