"""A persistent SMTP connection as a route for emails.

If anything fails before the text of an email is transmitted, it was certainly not sent. After that only a
complete answer of the server counts: if the connection breaks there, the server may or may not have the
email.
"""

import re
import smtplib
import socket
import time
from contextlib import suppress
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from csf.http_client import MAX_IDLE_S, Ambiguous, NotSent, tls
from notifications.sending.transport import Outcome, Result

TIMEOUT_S = 10  # to connect, and for each answer
PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class SmtpBackend:
    """One object for each thread."""

    def __init__(self, url: str) -> None:
        """Raises ValueError, without the password, for what is no address of a server."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in PORTS or not parts.hostname or port == 0:
            raise ValueError(f"write a server as {' or '.join(PORTS)}://user:password@host:port")
        if parts.scheme == "smtp" and parts.hostname not in LOOPBACK:
            raise ValueError("smtp:// would send passwords and emails unencrypted: use smtp+tls://")
        self._scheme, self._host, self._port = parts.scheme, parts.hostname, port or PORTS[parts.scheme]
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._connection: smtplib.SMTP | None = None
        self._used_at = 0.0

    def deliver(self, message: EmailMultiAlternatives) -> Result:
        try:
            content = message.message().as_bytes(linesep="\r\n")  # type: ignore[call-arg] # Django's own
            connection = self._connected()
            refusal = self._announce(connection, message)
        except NotSent:
            self.close()
            raise
        except OSError as error:  # smtplib's own errors too, and a certificate that is not trusted
            self.close()
            raise NotSent(f"{type(error).__name__}: {error}") from error
        except ValueError as error:  # a header or an address of this email
            self.close()
            return Result(Outcome.REFUSED, error=f"{type(error).__name__}: {error}")
        if refusal is not None:
            return refusal
        try:
            connection.send(_dotted(content))
            code, said = connection.getreply()
        except Exception as error:  # whatever it is, the server may have the email
            self.close()
            raise Ambiguous(f"{type(error).__name__}: {error}") from error
        self._used_at = time.monotonic()
        return _result(code, said)

    def _announce(self, connection: smtplib.SMTP, message: EmailMultiAlternatives) -> Result | None:
        """Sender and recipient. Returns the server's objection to the address, if any."""
        code, said = connection.mail(parseaddr(message.from_email)[1])
        if code == 250:
            code, said = connection.rcpt(parseaddr(message.to[0])[1])
            if code >= 500:
                connection.rset()
                return _result(code, said)
        if code in {250, 251}:
            code, said = connection.docmd("DATA")
        if code == 354:
            return None
        raise NotSent(_text(code, said))

    def _connected(self) -> smtplib.SMTP:
        if self._connection is not None and time.monotonic() - self._used_at < MAX_IDLE_S:
            return self._connection
        self.close()
        name = urlsplit(settings.SITE_URL).hostname
        if self._scheme == "smtp+ssl":
            self._connection = smtplib.SMTP_SSL(
                self._host, self._port, local_hostname=name, timeout=TIMEOUT_S, context=tls()
            )
        else:
            self._connection = smtplib.SMTP(self._host, self._port, local_hostname=name, timeout=TIMEOUT_S)
        if self._scheme == "smtp+tls":
            self._connection.starttls(context=tls())
        if self._user:
            self._connection.login(self._user, self._password)
        self._connection.ehlo_or_helo_if_needed()
        self._used_at = time.monotonic()
        return self._connection

    def abort(self) -> None:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                if connection.sock is not None:
                    connection.sock.settimeout(1)
                    connection.quit()
            connection.close()


def _result(code: int, said: bytes) -> Result:
    text = _text(code, said)
    match code // 100:
        case 2:
            return Result(Outcome.SENT, provider_id=text)
        case 4:
            return Result(Outcome.NOT_SENT, error=text)
        case 5:
            return Result(Outcome.REFUSED, error=text)
    return Result(Outcome.UNKNOWN, error=text)


def _text(code: int, said: bytes) -> str:
    return f"{code} {said.decode(errors='replace')}"


def _dotted(content: bytes) -> bytes:
    """A line with one dot ends it, so other dots that begin a line are doubled."""
    return re.sub(rb"(?m)^\.", b"..", content).removesuffix(b"\r\n") + b"\r\n.\r\n"
