from collections.abc import Iterable
from typing import Any

from anymail.exceptions import AnymailInvalidAddress
from anymail.utils import parse_address_list
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

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
