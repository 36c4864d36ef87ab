"""Mistakes that a deployer can make are refused at start, with a sentence that says what to do."""

import math
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.db import NotSupportedError, OperationalError, connection
from django.http.request import validate_host

from csf import clock
from csf.currencies import why_not_charged
from csf.encryption import BadKeys, parse_keys
from csf.logs.error_reports import is_dsn
from csf.web.legal import own_text

DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.ASCII)
OLDEST_POSTGRESQL = 15
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@register()
def configuration(**kwargs: Any) -> Iterable[CheckMessage]:
    if settings.CSF_MODE not in {"production", "demo", "test"}:
        yield Error("CSF_MODE must be production, demo or test.", id="csf.E001")
    if settings.SCHOOL_TIME_ZONE not in available_timezones():
        yield Error(f"SCHOOL_TIME_ZONE {settings.SCHOOL_TIME_ZONE!r} is not a time zone name.", id="csf.E002")
    minimum_cents: int = settings.MINIMUM_CHARGE_CENTS
    if why_not := why_not_charged(settings.CURRENCY, minimum_cents=minimum_cents):
        yield Error(why_not, id="csf.E040")
    elif minimum_cents > settings.MINIMUM_INSTALLMENT_CENTS:
        yield Error(
            f"MINIMUM_INSTALLMENT_CENTS must be at least {minimum_cents}: Stripe does not accept smaller "
            "charges.",
            id="csf.E041",
        )
    stripe_host = getattr(settings, "STRIPE_API_HOST", "")
    if stripe_host and (settings.IS_PRODUCTION or settings.STRIPE_LIVE_MODE or not _is_loopback(stripe_host)):
        yield Error(
            "STRIPE_API_HOST is for the stand-in: it must be a loopback address, outside production, "
            "with a test key. Unset it to talk to Stripe.",
            id="csf.E003",
        )
    for name, source in (("TERMS", settings.TERMS), ("PRIVACY", settings.PRIVACY)):
        try:
            own_text(source)
        except (OSError, UnicodeDecodeError) as error:
            yield Error(f"{name} must be an https address or a readable text file: {error}.", id="csf.E017")
    if settings.ALERT_WEBHOOK_URL and not _may_be_posted_to(settings.ALERT_WEBHOOK_URL):
        yield Error("ALERT_WEBHOOK_URL must be an https address, or one of this machine.", id="csf.E014")
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 24:
        yield Error("METRICS_TOKEN must have at least 24 characters, or be empty.", id="csf.E062")
    if settings.SENTRY_DSN and not is_dsn(settings.SENTRY_DSN):
        yield Error("SENTRY_DSN is not a project DSN as shown by Sentry.", id="csf.E063")
    if settings.STRIPE_PAGES_DOMAIN and not DOMAIN.fullmatch(settings.STRIPE_PAGES_DOMAIN):
        yield Error("STRIPE_PAGES_DOMAIN must be a bare domain, such as pay.example.org.", id="csf.E018")
    for address in settings.STAFF_ALERT_EMAILS:
        if "@" not in address or len(address) > 254:
            yield Error(f"STAFF_ALERT_EMAILS: {address!r} is not an email address.", id="csf.E015")
    try:
        parse_keys(tuple(settings.FIELD_KEYS))
    except BadKeys as error:
        yield Error(f"FIELD_KEYS: {error}. Private text is encrypted with these keys.", id="csf.E011")
    if settings.IS_PRODUCTION:
        yield from _production()


def _school() -> Iterable[CheckMessage]:
    """Parents read these on each page and in each email; the phone may be left out."""
    for name, of_demo in settings.DEMO_SCHOOL.items():
        value = getattr(settings, name)
        if not value and name != "SCHOOL_PHONE":
            yield Error(f"Set {name}: parents see it on every page and in every email.", id="csf.E050")
        elif value == of_demo:
            yield Error(f"{name} still has the demo's value: {value!r}.", id="csf.E051")


def _production() -> Iterable[CheckMessage]:
    yield from _school()
    mode = "live" if settings.STRIPE_LIVE_MODE else "test"
    if not settings.STRIPE_SECRET_KEY.startswith((f"sk_{mode}_", f"rk_{mode}_")):
        yield Error(f"Set STRIPE_{mode.upper()}_SECRET_KEY to a {mode} key of your account.", id="csf.E004")
    if not settings.SENDGRID_API_KEY:
        yield Error("Set SENDGRID_API_KEY: without it no email is sent.", id="csf.E005")
    if not settings.ANYMAIL["SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY"]:
        yield Error(
            "Set SENDGRID_WEBHOOK_PUBLIC_KEY: without it anyone could post delivery events.", id="csf.E006"
        )
    if _is_loopback(settings.SENDGRID_API_URL):
        yield Error("SENDGRID_API_URL points to this machine; unset it.", id="csf.E007")
    if not settings.SITE_URL.startswith("https://"):
        yield Error("Set SITE_URL to the https address of the site: emails link to it.", id="csf.E008")
    if not settings.INSTANCE_ID:
        yield Error(
            "Set INSTANCE_ID to a name that no other installation has: a copy of its database under "
            "another name sends and charges nothing.",
            id="csf.E013",
        )
    if len(settings.SECRET_KEY) < 50:
        yield Error("Set SECRET_KEY to at least 50 random characters.", id="csf.E009")


@register(deploy=True)
def deployment(**kwargs: Any) -> Iterable[CheckMessage]:
    """What can only be judged where the site is reached from outside: `check --deploy`."""
    if not re.fullmatch(r"SG\.[\w-]+(\.[\w-]+)?", settings.SENDGRID_API_KEY):
        yield Error("SENDGRID_API_KEY is not a SendGrid key: those start with SG.", id="csf.E031")
    if settings.ALLAUTH_TRUSTED_PROXY_COUNT < 0:
        yield Error(
            "TRUSTED_PROXY_COUNT must be 0 or more: the number of proxies between visitors and this program.",
            id="csf.E032",
        )
    site = urlsplit(settings.SITE_URL)
    if "*" in settings.ALLOWED_HOSTS:
        yield Error(
            "ALLOWED_HOSTS must list the site's hosts: with * the site would answer to any host.",
            id="csf.E033",
        )
    if site.path or site.query or site.fragment:
        yield Error("SITE_URL must not have a path: pages are linked from its root.", id="csf.E034")
    if site.hostname and not validate_host(site.hostname, settings.ALLOWED_HOSTS):
        yield Error(f"ALLOWED_HOSTS must include {site.hostname}, the host of SITE_URL.", id="csf.E035")


@register()
def database(**kwargs: Any) -> Iterable[CheckMessage]:
    """A database that is down is not a wrong setting: `/readyz` reports it."""
    try:
        major, is_pooled = connection.pg_version // 10_000, _is_pooled()  # type: ignore[attr-defined]
        if settings.IS_PRODUCTION and not clock.is_database_time():
            yield Error("csf_now() is not the database's clock: this is a simulation.", id="csf.E064")
    except NotSupportedError as error:  # so old that Django refuses it
        yield Error(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed. {error}", id="csf.E060")
        return
    except OperationalError as error:  # PgBouncer refuses the option lock_timeout
        if "unsupported startup parameter" not in str(error):
            return
        major, is_pooled = OLDEST_POSTGRESQL, True
    if major < OLDEST_POSTGRESQL:
        yield Error(f"PostgreSQL {OLDEST_POSTGRESQL} or newer is needed, this is {major}.", id="csf.E060")
    if is_pooled and not settings.PGBOUNCER:
        yield Error("DATABASE_URL points to PgBouncer or another pool: set PGBOUNCER=true.", id="csf.E061")


def _is_pooled() -> bool:
    """A pool gives its clients a made-up process number, because it does not know yet which server they
    get."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return bool(cursor.fetchone()[0] != cursor.connection.info.backend_pid)


@register()
def queue(**kwargs: Any) -> Iterable[CheckMessage]:
    """With other values, each of these settings has been seen to lose or repeat work."""
    cluster: dict[str, Any] = settings.Q_CLUSTER
    database: dict[str, Any] = settings.DATABASES["default"]
    longest_s = 3 + cluster["timeout"] * (
        1 + math.ceil((cluster["queue_limit"] + cluster["bulk"]) / cluster["workers"])
    )
    rules = {
        "orm must be 'default', so that tasks commit with the rows they are about": cluster["orm"]
        == "default",
        f"retry must be above {longest_s} s (waiting and running), or tasks run twice": cluster["retry"]
        > longest_s,
        "save_limit must be -1, or each result locks all others": cluster["save_limit"] == -1,
        "max_attempts must be at least 1 (0 means for ever)": cluster["max_attempts"] >= 1,
        "CONN_MAX_AGE must be above 0, or each broker query opens a connection": bool(
            database["CONN_MAX_AGE"]
        ),
        "the database must not use a connection pool: sockets are shared over fork": "pool"
        not in database.get("OPTIONS", {}),
    }
    return [Error(f"Q_CLUSTER: {rule}.", id="csf.E010") for rule, kept in rules.items() if not kept]


@register()
def drains(**kwargs: Any) -> Iterable[CheckMessage]:
    """Nothing is lost then, so it is only a warning."""
    cluster: dict[str, Any] = settings.Q_CLUSTER
    if cluster["workers"] <= settings.EMAIL_DRAINS:
        yield Warning(
            "Set Q_WORKERS above EMAIL_DRAINS: sending keeps a worker busy for up to 25 seconds, so a "
            "burst of emails would hold up webhooks.",
            id="csf.W015",
        )


def _may_be_posted_to(url: str) -> bool:
    return url.startswith("https://") or (url.startswith("http://") and _is_loopback(url))


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK
