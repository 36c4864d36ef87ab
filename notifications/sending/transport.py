"""Posting one email, to SendGrid through anymail, and distinguishing sent, not sent and unknown.

SendGrid has no idempotency key, so only an email that provably never left may be posted again. anymail gets a
session of ours in which an error before the request is `NotSent` and an error after it is `Ambiguous`:
nothing is guessed from exception trees, redirects are not followed, and a post costs half the CPU of
`requests`.
"""

import json
import math
import time
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol

import requests
from anymail.backends.sendgrid import EmailBackend, SendGridPayload
from anymail.exceptions import AnymailError, AnymailRequestsAPIError
from anymail.utils import Attachment, EmailAddress, parse_address_list
from django.core.mail import EmailMultiAlternatives

from csf.http_client import Ambiguous, HttpClient, NotSent


class Outcome(Enum):
    SENT = "sent"
    NOT_SENT = "not_sent"
    """Known not sent; try again later."""
    HELD_BACK = "held_back"
    """Known not sent, and no fault of this email: the provider takes nothing from us for now."""
    NOT_POSTED = "not_posted"
    """Known not sent, and by our own doing: the provider was never asked."""
    REFUSED = "refused"
    FILE_REFUSED = "file_refused"
    """Known not sent: the provider takes this email, but not the files attached to it."""
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    outcome: Outcome
    http_status: int | None = None
    provider_id: str = ""
    error: str = ""
    retry_after_s: float = 0
    duration_ms: int = 0


class Backend(Protocol):
    """A route for emails. One object for each thread, with a persistent connection."""

    def deliver(self, message: EmailMultiAlternatives) -> Result:
        """Raises NotSent only if it was certainly not sent; after any other error it may have been."""

    def abort(self) -> None:
        """From any thread: end a post that waits for its answer."""

    def close(self) -> None: ...


class _Session(HttpClient):
    """The part of `requests.Session` that anymail uses."""

    def request(
        self,
        *,
        method: str,
        url: str,
        data: str,
        headers: dict[str, str],
        timeout: tuple[float, float],
        **ignored: Any,
    ) -> requests.Response:
        answer = self.ask(method, url, body=data.encode(), headers=headers, timeout_s=timeout)
        response = requests.Response()
        response.status_code, response.url, response.encoding = answer.status, url, "utf-8"
        response.headers.update(answer.headers.items())
        response._content = answer.body
        return response


@lru_cache(maxsize=8)
def _address_list(texts: tuple[str, ...]) -> list[EmailAddress]:
    parsed: list[EmailAddress] = parse_address_list(texts)
    return parsed


def _addresses(texts: str | list[str]) -> list[EmailAddress]:
    return _address_list((texts,) if isinstance(texts, str) else tuple(texts))


class _Payload(SendGridPayload):
    """The school's own addresses are in each email; parsing them again takes as long as the post itself."""

    base_message_attrs = tuple(
        (name, combine, _addresses if name in {"from_email", "reply_to"} else convert)
        for name, combine, convert in SendGridPayload.base_message_attrs
    )

    def add_attachment(self, attachment: Attachment) -> None:
        # anymail 15.2 posts "text/calendar; charset=...", and SendGrid refuses the whole email for a
        # parameter in `type` (https://github.com/anymail/django-anymail/issues/492). The bare type is the one
        # form that nobody ever saw refused; the METHOD is in the file too, where calendars look for it.
        super().add_attachment(attachment)
        self.data["attachments"][-1]["type"] = attachment.mimetype.partition(";")[0].strip()


class SendGridBackend(EmailBackend):
    """anymail's backend on a persistent connection. One object for each thread."""

    def build_message_payload(self, message: EmailMultiAlternatives, defaults: dict[str, Any]) -> _Payload:
        return _Payload(message, defaults, self)

    def create_session(self) -> _Session:
        return _Session()

    def raise_for_status(self, response: requests.Response, payload: Any, message: Any) -> None:
        # Only 202 is "accepted"; anymail would take a stray 200 page for success.
        if response.status_code != 202:
            raise AnymailRequestsAPIError(
                email_message=message, payload=payload, response=response, backend=self
            )

    def deliver(self, message: EmailMultiAlternatives) -> Result:
        self.open()
        if not self.send_messages([message]):
            return Result(Outcome.REFUSED, error="it has no recipient, or a pre_send receiver stopped it")
        answer: requests.Response = message.anymail_status.esp_response  # type: ignore[attr-defined]
        return Result(Outcome.SENT, answer.status_code, answer.headers.get("X-Message-Id", ""))

    def abort(self) -> None:
        if session := self.session:
            session.abort()


def post(message: EmailMultiAlternatives, backend: Backend) -> Result:
    """Post one email. Never raises: whatever is not understood is UNKNOWN, which nothing sends again
    blindly."""
    started = time.monotonic()
    try:
        result = backend.deliver(message)
    except NotSent as error:
        result = Result(Outcome.NOT_SENT, error=str(error))
    except Ambiguous as error:
        result = Result(Outcome.UNKNOWN, error=str(error))
    except AnymailRequestsAPIError as error:
        result = _classify(error.response) if error.response is not None else Result(Outcome.UNKNOWN)
        if message.attachments and _is_about_files(result):
            result = replace(result, outcome=Outcome.FILE_REFUSED)
    except AnymailError as error:  # bad address, not serializable: nothing was posted
        result = Result(Outcome.REFUSED, error=str(error))
    except Exception as error:
        result = Result(Outcome.UNKNOWN, error=f"{type(error).__name__}: {error}")
    # The provider's bytes must fit our columns: one that does not would keep its whole batch from settling.
    return replace(
        result,
        error=result.error.replace("\0", "")[:2000],
        provider_id=result.provider_id.replace("\0", "")[:100],
        duration_ms=round((time.monotonic() - started) * 1000),
    )


def _classify(response: requests.Response) -> Result:
    status, error = response.status_code, response.text
    if status == 429:
        return Result(Outcome.HELD_BACK, status, error=error, retry_after_s=_retry_after_s(response))
    if status in {401, 403}:
        return Result(Outcome.HELD_BACK, status, error=error, retry_after_s=60)
    if status == 503 or (status == 500 and _has_sendgrid_errors(response)):
        return Result(Outcome.NOT_SENT, status, error=error)
    if status in {400, 413}:
        return Result(Outcome.REFUSED, status, error=error)
    return Result(Outcome.UNKNOWN, status, error=error)


def _retry_after_s(response: requests.Response) -> float:
    """From SendGrid's reset time (epoch seconds) or Retry-After (seconds or a date), between 1 s and
    10 min."""
    try:
        if reset := response.headers.get("X-RateLimit-Reset"):
            wait = float(reset) - time.time()
        else:
            wait = _seconds(response.headers.get("Retry-After", "60"))
    except (ValueError, OverflowError):
        wait = 60
    return min(max(wait, 1.0), 600.0) if math.isfinite(wait) else 60.0


def _seconds(asked: str) -> float:
    try:
        return float(asked)
    except ValueError:
        return parsedate_to_datetime(asked).timestamp() - time.time()


def _has_sendgrid_errors(response: requests.Response) -> bool:
    return bool(_sendgrid_errors(response.text))


def _is_about_files(result: Result) -> bool:
    """Whether the same email without its files has a chance: SendGrid names them, or finds it too large."""
    if result.outcome != Outcome.REFUSED:
        return False
    fields = [str(error.get("field")) for error in _sendgrid_errors(result.error)]
    return result.http_status == 413 or any(field.startswith("attachments") for field in fields)


def _sendgrid_errors(text: str) -> list[dict[str, Any]]:
    try:
        return [error for error in json.loads(text)["errors"] if isinstance(error, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
