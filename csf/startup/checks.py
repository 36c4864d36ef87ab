"""Mistakes that a deployer can make are refused at start, with a sentence that says what to do. Each
app checks its own settings; these are the ground's."""

import math
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db import NotSupportedError, OperationalError, connection
from django.http.request import validate_host

from csf import clock
from csf.encryption import BadKeys, parse_keys
from csf.logs.error_reports import is_dsn
from csf.web.legal import own_text

OLDEST_POSTGRESQL = 15


@register()
def configuration(**kwargs: Any) -> Iterable[CheckMessage]:
    if settings.CSF_MODE not in {"production", "demo", "test"}:
        yield Error("CSF_MODE must be production, demo or test.", id="csf.E001")
    if settings.SCHOOL_TIME_ZONE not in available_timezones():
        yield Error(f"SCHOOL_TIME_ZONE {settings.SCHOOL_TIME_ZONE!r} is not a time zone name.", id="csf.E002")
    for name, source in (("TERMS", settings.TERMS), ("PRIVACY", settings.PRIVACY)):
        try:
            own_text(source)
        except (OSError, UnicodeDecodeError) as error:
            yield Error(f"{name} must be an https address or a readable text file: {error}.", id="csf.E017")
    if settings.SENTRY_DSN and not is_dsn(settings.SENTRY_DSN):
        yield Error("SENTRY_DSN is not a project DSN as shown by Sentry.", id="csf.E063")
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


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
