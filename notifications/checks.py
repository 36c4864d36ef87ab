import re
from collections.abc import Iterable
from typing import Any

from anymail.exceptions import AnymailInvalidAddress
from anymail.utils import parse_address_list
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from csf.startup.checks import is_loopback
from notifications.sending import failover


@register()
def addresses(**kwargs: Any) -> Iterable[CheckMessage]:
    """One that cannot be parsed would make every email fail, one by one."""
    for name in ("DEFAULT_FROM_EMAIL", "SCHOOL_EMAIL", "STAGING_EMAILS_TO"):
        value = getattr(settings, name)
        if name == "STAGING_EMAILS_TO" and not value:
            continue
        try:
            (address,) = parse_address_list([value])
            validate_email(address.addr_spec)
        except (AnymailInvalidAddress, ValidationError, ValueError):
            yield Error(
                f"{name}: {value!r} is not one email address. Put a name with a comma, quote or bracket in "
                'quotes: "Sparks, Inc." <office@example.org>',
                id="csf.E030",
            )
            continue
        if not address.addr_spec.isascii():
            yield Error(
                f"{name}: SendGrid accepts only ASCII in {address.addr_spec!r}. Write the domain as xn--...",
                id="csf.E030",
            )


@register()
def staging(**kwargs: Any) -> Iterable[CheckMessage]:
    if settings.STAGING_EMAILS_TO and settings.STRIPE_LIVE_MODE:
        yield Error(
            "STAGING_EMAILS_TO keeps every email from the families, so it cannot be used with "
            "STRIPE_LIVE_MODE. "
            "Unset it in production; in a copy set STRIPE_LIVE_MODE=false.",
            id="csf.E070",
        )


@register()
def second_route(**kwargs: Any) -> Iterable[CheckMessage]:
    """A wrong second route would only be noticed on the day that it is needed."""
    if settings.EMAIL_FAILOVER:
        try:
            failover.backend().close()
        except ValueError as error:
            yield Error(f"EMAIL_FAILOVER: {error}. Unset it to turn it off.", id="csf.E016")


@register()
def sendgrid(**kwargs: Any) -> Iterable[CheckMessage]:
    if not settings.IS_PRODUCTION:
        return
    if not settings.SENDGRID_API_KEY:
        yield Error("Set SENDGRID_API_KEY: without it no email is sent.", id="csf.E005")
    if not settings.ANYMAIL["SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY"]:
        yield Error(
            "Set SENDGRID_WEBHOOK_PUBLIC_KEY: without it anyone could post delivery events.", id="csf.E006"
        )
    if is_loopback(settings.SENDGRID_API_URL):
        yield Error("SENDGRID_API_URL points to this machine; unset it.", id="csf.E007")


@register(deploy=True)
def sendgrid_key(**kwargs: Any) -> Iterable[CheckMessage]:
    if not re.fullmatch(r"SG\.[\w-]+(\.[\w-]+)?", settings.SENDGRID_API_KEY):
        yield Error("SENDGRID_API_KEY is not a SendGrid key: those start with SG.", id="csf.E031")


@register()
def drains(**kwargs: Any) -> Iterable[CheckMessage]:
    """Nothing is lost then, so it is only a warning."""
    if settings.Q_CLUSTER["workers"] <= settings.EMAIL_DRAINS:
        yield Warning(
            "Set Q_WORKERS above EMAIL_DRAINS: sending keeps a worker busy for up to 25 seconds, so a "
            "burst of emails would hold up webhooks.",
            id="csf.W015",
        )


@register()
def alerts(**kwargs: Any) -> Iterable[CheckMessage]:
    url: str = settings.ALERT_WEBHOOK_URL
    if url and not (url.startswith("https://") or (url.startswith("http://") and is_loopback(url))):
        yield Error("ALERT_WEBHOOK_URL must be an https address, or one of this machine.", id="csf.E014")
    for address in settings.STAFF_ALERT_EMAILS:
        if "@" not in address or len(address) > 254:
            yield Error(f"STAFF_ALERT_EMAILS: {address!r} is not an email address.", id="csf.E015")
    if settings.METRICS_TOKEN and len(settings.METRICS_TOKEN) < 24:
        yield Error("METRICS_TOKEN must have at least 24 characters, or be empty.", id="csf.E062")
