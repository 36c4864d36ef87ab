"""An email as it goes to the provider: addresses, headers, parts and attachments."""

import re
from email.headerregistry import Address
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from notifications.facts.calendar import attachments
from notifications.models import EmailMessage
from notifications.preferences.rules import footer_links


def outgoing(row: EmailMessage) -> EmailMultiAlternatives:
    """Of a rendered row."""
    # No ";" or "," (https://docs.sendgrid.com/api-reference/mail-send/limitations).
    name = " ".join(re.sub("[;,]", " ", row.recipient.get_full_name()).split()) if row.recipient else ""
    is_staging = bool(settings.STAGING_EMAILS_TO)
    message = EmailMultiAlternatives(
        subject=f"[{row.to}] {row.subject}" if is_staging else row.subject,
        body=row.text,
        to=[settings.STAGING_EMAILS_TO if is_staging else str(Address(display_name=name, addr_spec=row.to))],
        reply_to=[settings.SCHOOL_EMAIL],
        headers=_headers(row),
    )
    message.attach_alternative(row.html, "text/html")
    for file in attachments(row.facts):
        message.attach(file.name, file.content, file.mime_type)
    # Ids only: SendGrid keeps these for long, for its staff to see.
    message.metadata = {"outbox_id": str(row.public_id), "outbox_try": str(row.tries), "mail_kind": row.kind}  # type: ignore[attr-defined]
    message.tags = [row.kind]  # type: ignore[attr-defined]
    return message


def _headers(row: EmailMessage) -> dict[str, str]:
    domain = urlsplit(settings.SITE_URL).hostname
    headers = {
        "Message-ID": f"<{row.kind}.{row.public_id}@{domain}>",  # the same on every try
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
    }
    if number := row.context.get("order_number"):
        headers["References"] = headers["In-Reply-To"] = f"<order.{number}@{domain}>"
    return headers | _unsubscribe_headers(row)


def _unsubscribe_headers(row: EmailMessage) -> dict[str, str]:
    """For the button that mail programs show (RFC 8058); none for what cannot be switched off."""
    path = footer_links(row).get("unsubscribe_path")
    if path is None:
        return {}
    by_mail = f"mailto:{settings.SCHOOL_EMAIL}?subject={quote(f'Unsubscribe: {row.get_kind_display()}')}"
    return {
        "List-Unsubscribe": f"<{settings.SITE_URL}{path}>, <{by_mail}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
