"""Unsafe configurations refuse to start."""

import pytest
from django.core.checks import run_checks
from django.db import NotSupportedError, OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper

from billing.stripe.checks import amounts
from csf.startup.checks import database

pytestmark = pytest.mark.django_db  # some checks of other packages look at the database

PRODUCTION = {
    "CSF_MODE": "production",
    "IS_PRODUCTION": True,
    "INSTANCE_ID": "harbour",
    "STRIPE_LIVE_MODE": True,
    "STRIPE_SECRET_KEY": "sk_live_" + "1" * 24,
    "STRIPE_API_HOST": "",
    "SENDGRID_API_KEY": "SG.x",
    "SENDGRID_API_URL": "https://api.sendgrid.com/v3/",
    "ANYMAIL": {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": "key"},
    "SITE_URL": "https://classes.example.org",
    "SECRET_KEY": "s" * 50,
    "FIELD_KEYS": ["a:" + "A" * 43 + "="],
    "SCHOOL_NAME": "Harbour Swim School",
    "SCHOOL_EMAIL": "office@harbour.example",
    "SCHOOL_PHONE": "",
    "SCHOOL_ADDRESS": "1 Quay, Harbour",
}


def found(settings, **changes):
    for name, value in (PRODUCTION | changes).items():
        setattr(settings, name, value)
    return [message.id for message in run_checks() if message.id.startswith("csf.")]


def test_a_sound_production_configuration_starts(settings):
    assert found(settings) == []


@pytest.mark.parametrize(
    "changes", [{"CURRENCY": "eur"}, {"CURRENCY": "gbp"}, {"CURRENCY": "zar", "MINIMUM_CHARGE_CENTS": 1000}]
)
def test_so_does_one_of_another_currency_with_two_decimals(settings, changes):
    assert found(settings, **changes) == []


def test_a_currency_that_is_none_is_refused_at_start(settings):
    settings.CURRENCY = "jpy"
    assert [error.msg for error in amounts()] == [
        "CURRENCY 'jpy' has 0 decimals; only currencies with two can be charged."
    ]
    settings.CURRENCY = "dollars"
    assert [error.id for error in amounts()] == ["csf.E040"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"CSF_MODE": "staging"}, "csf.E001"),
        ({"SCHOOL_NAME": ""}, "csf.E050"),
        ({"SCHOOL_ADDRESS": ""}, "csf.E050"),
        ({"SCHOOL_PHONE": "+1 555 0100"}, "csf.E051"),
        ({"SCHOOL_ADDRESS": "12 Harbour Street, Springfield"}, "csf.E051"),
        ({"SCHOOL_TIME_ZONE": "Mars/Olympus"}, "csf.E002"),
        ({"STRIPE_API_HOST": "http://127.0.0.1:8001"}, "csf.E003"),
        ({"STRIPE_SECRET_KEY": "sk_test_" + "1" * 24}, "csf.E004"),
        ({"STRIPE_LIVE_MODE": False}, "csf.E004"),
        ({"SENDGRID_API_KEY": ""}, "csf.E005"),
        ({"ANYMAIL": {"SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": None}}, "csf.E006"),
        ({"SENDGRID_API_URL": "http://localhost:8002/v3/"}, "csf.E007"),
        ({"SITE_URL": "http://classes.example.org"}, "csf.E008"),
        ({"SECRET_KEY": "short"}, "csf.E009"),
        ({"INSTANCE_ID": ""}, "csf.E013"),
        ({"ALERT_WEBHOOK_URL": "http://alerts.example.org/hook"}, "csf.E014"),
        ({"ALERT_WEBHOOK_URL": "ftp://127.0.0.1/hook"}, "csf.E014"),
        ({"METRICS_TOKEN": "short"}, "csf.E062"),
        ({"SENTRY_DSN": "sentry.example.org"}, "csf.E063"),
        ({"STRIPE_PAGES_DOMAIN": "https://pay.example.org"}, "csf.E018"),
        ({"STRIPE_PAGES_DOMAIN": "pay.example.org; script-src *"}, "csf.E018"),
        ({"FIELD_KEYS": []}, "csf.E011"),
        ({"FIELD_KEYS": ["a:AAAA"]}, "csf.E011"),
        ({"CURRENCY": "jpy"}, "csf.E040"),
        ({"CURRENCY": "isk"}, "csf.E040"),
        ({"CURRENCY": "kwd"}, "csf.E040"),
        ({"CURRENCY": "dollars"}, "csf.E040"),
        ({"CURRENCY": ""}, "csf.E040"),
        ({"CURRENCY": "xxx"}, "csf.E040"),
        ({"CURRENCY": "dem"}, "csf.E040"),
        ({"CURRENCY": "huf"}, "csf.E040"),  # 50 hundredths are too little there
        ({"CURRENCY": "zar", "MINIMUM_CHARGE_CENTS": 0}, "csf.E040"),
        ({"MINIMUM_INSTALLMENT_CENTS": 49}, "csf.E041"),
        ({"DEFAULT_FROM_EMAIL": "Sparks, Inc. <office@example.org>"}, "csf.E030"),
        ({"DEFAULT_FROM_EMAIL": 'The "Sparks <office@example.org>'}, "csf.E030"),
        ({"DEFAULT_FROM_EMAIL": "Sparks <office>"}, "csf.E030"),
        ({"DEFAULT_FROM_EMAIL": ""}, "csf.E030"),
        ({"DEFAULT_FROM_EMAIL": "a@example.org, b@example.org"}, "csf.E030"),
        ({"DEFAULT_FROM_EMAIL": "Sparks <büro@example.org>"}, "csf.E030"),
        ({"SCHOOL_EMAIL": "office at example.org"}, "csf.E030"),
    ],
)
def test_each_unsafe_setting_is_refused(settings, changes, error):
    assert found(settings, **changes) == [error]


@pytest.mark.parametrize("host", ["https://api.stripe.com", "http://10.0.0.5:8001"])
def test_outside_production_too_the_stand_in_is_on_loopback(settings, host):
    changes = {"CSF_MODE": "demo", "IS_PRODUCTION": False, "STRIPE_LIVE_MODE": False, "STRIPE_API_HOST": host}

    assert found(settings, **changes) == ["csf.E003"]


@pytest.mark.parametrize(
    "change",
    [
        {"retry": 60},
        {"orm": "other"},
        {"save_limit": 250},
        {"max_attempts": 0},
        {"workers": 3, "queue_limit": 20},
    ],
)
def test_queue_settings_that_lose_or_repeat_work_are_refused(settings, change):
    settings.Q_CLUSTER = settings.Q_CLUSTER | change

    assert found(settings) == ["csf.E010"]


@pytest.mark.parametrize(("drains", "errors"), [(3, []), (4, ["csf.W015"]), (5, ["csf.W015"])])
def test_drains_that_leave_no_worker_for_anything_else_are_told(settings, drains, errors):
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"workers": 4, "queue_limit": 4}
    settings.EMAIL_DRAINS = drains

    assert found(settings) == errors


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({}, None),
        ({"SENDGRID_API_KEY": "junk"}, "csf.E031"),
        ({"SENDGRID_API_KEY": "SG.a b"}, "csf.E031"),
        ({"ALLAUTH_TRUSTED_PROXY_COUNT": -1}, "csf.E032"),
        ({"ALLOWED_HOSTS": ["*"]}, "csf.E033"),
        ({"ALLOWED_HOSTS": ["classes.example.org", "*"]}, "csf.E033"),
        ({"SITE_URL": "https://classes.example.org/app"}, "csf.E034"),
        ({"SITE_URL": "https://classes.example.org?x=1"}, "csf.E034"),
        ({"SITE_URL": "https://other.example.org"}, "csf.E035"),
        ({"ALLOWED_HOSTS": ["localhost"]}, "csf.E035"),
        ({"ALLOWED_HOSTS": [".example.org"]}, None),
    ],
)
def test_check_deploy_speaks_about_what_is_reached_from_outside(settings, changes, error):
    sound = {"ALLOWED_HOSTS": ["classes.example.org"], "ALLAUTH_TRUSTED_PROXY_COUNT": 1}
    for name, value in (PRODUCTION | sound | changes).items():
        setattr(settings, name, value)
    ids = [message.id for message in run_checks(include_deployment_checks=True)]

    assert [found for found in ids if found.startswith("csf.")] == ([error] if error else [])


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (150_000, []),
        (180_001, []),
        (149_999, ["PostgreSQL 15 or newer is needed, this is 14."]),
        (
            NotSupportedError("PostgreSQL 14 or later is required (found 13.5)."),
            ["PostgreSQL 15 or newer is needed. PostgreSQL 14 or later is required (found 13.5)."],
        ),
        (OperationalError("connection refused"), []),
    ],
)
def test_a_postgresql_that_is_too_old_is_refused_and_one_that_is_away_is_not(monkeypatch, version, said):
    def pg_version(connection):
        if isinstance(version, Exception):
            raise version
        return version

    monkeypatch.setattr(DatabaseWrapper, "pg_version", property(pg_version))

    assert [error.msg for error in database()] == said
