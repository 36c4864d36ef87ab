"""The second route for emails (EMAIL_FAILOVER), while the first one accepts none.

It is only for emails that the first provider certainly does not have: an email whose post had no answer waits
for proof there, or the family would get it twice.
"""

from urllib.parse import parse_qsl

import requests
from anymail.backends.base import AnymailBaseBackend
from anymail.exceptions import AnymailRequestsAPIError
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.db.models import Exists, OuterRef, Q
from django.utils.module_loading import import_string
from urllib3.exceptions import NewConnectionError

from csf.http_client import NotSent
from notifications.models import DrainSignal, EmailAttempt, EmailMessage
from notifications.models.outbox import EmailMessageQuerySet
from notifications.registry import EMAILS
from notifications.sending.smtp import SmtpBackend
from notifications.sending.transport import Backend, Outcome, Result

AFTER_S = 120  # a short pause of the first route is not worth a switch
THREADS = 4  # a mail server takes few connections at once


def is_on() -> bool:
    return bool(settings.EMAIL_FAILOVER) and DrainSignal.down_s() > AFTER_S


def emails() -> EmailMessageQuerySet:
    """What may go this way: the essential, unless the first provider may have it or this one has refused
    it."""
    essential = [kind for kind, spec in EMAILS.items() if spec.group == "essential"]
    attempts = EmailAttempt.objects.filter(message=OuterRef("pk"))
    in_doubt = Q(outcome__in=[EmailAttempt.Outcome.OPEN, EmailAttempt.Outcome.UNKNOWN])
    refused = Q(outcome=EmailAttempt.Outcome.REFUSED, route=EmailAttempt.Route.FAILOVER)
    return EmailMessage.objects.filter(~Exists(attempts.filter(in_doubt | refused)), kind__in=essential)


def backend() -> Backend:
    """As EMAIL_FAILOVER says: the address of a mail server, or the class of a backend of anymail with its
    options (`anymail.backends.mailgun.EmailBackend?api_key=...`). Raises ValueError if it says neither."""
    path, _, options = settings.EMAIL_FAILOVER.partition("?")
    if "://" in path:
        return SmtpBackend(settings.EMAIL_FAILOVER)
    try:
        found = import_string(path)
    except ImportError as error:
        raise ValueError("it is neither a mail server's address nor the path of a backend") from error
    if not (isinstance(found, type) and issubclass(found, AnymailBaseBackend)):
        raise ValueError(f"{path} is not an anymail backend")
    try:
        made = found(ignore_unsupported_features=True, **dict(parse_qsl(options)))
    except ImproperlyConfigured as error:
        raise ValueError(f"{path} is not configured: {type(error).__name__}") from error
    return made if hasattr(made, "deliver") else AnymailRoute(made)


class AnymailRoute:
    """An unchanged backend of anymail, on `requests`."""

    def __init__(self, made: AnymailBaseBackend) -> None:
        self._backend = made

    def deliver(self, message: EmailMultiAlternatives) -> Result:
        try:
            self._backend.open()
            sent = self._backend.send_messages([message])
        except AnymailRequestsAPIError as error:
            if error.response is not None:
                return _classify(error.response)
            if _never_left(error):
                raise NotSent(f"{type(error.__cause__).__name__}: {error.__cause__}") from error
            raise
        if not sent:
            return Result(Outcome.REFUSED, error="it has no recipient, or a pre_send receiver stopped it")
        status = message.anymail_status  # type: ignore[attr-defined]
        return Result(Outcome.SENT, provider_id=str(status.message_id or ""))

    def abort(self) -> None:
        """Its timeouts end each read; what takes longer than the drain has stays unknown."""

    def close(self) -> None:
        self._backend.close()


def _never_left(error: Exception) -> bool:
    cause = error.__cause__
    if isinstance(cause, requests.ConnectTimeout):
        return True
    reason = getattr(cause.args[0], "reason", None) if cause and cause.args else None
    return isinstance(cause, requests.ConnectionError) and isinstance(reason, NewConnectionError)


def _classify(response: requests.Response) -> Result:
    status, error = response.status_code, response.text
    if status in {401, 403, 429, 503}:
        return Result(Outcome.NOT_SENT, status, error=error)
    if 400 <= status < 500 and status != 408:
        return Result(Outcome.REFUSED, status, error=error)
    return Result(Outcome.UNKNOWN, status, error=error)
