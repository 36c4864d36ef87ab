"""An accepted mail as a reader sees it."""

import json
from base64 import b64decode
from typing import Any

from demo.standins.sendgrid.books import Received


def opened(received: Received) -> dict[str, Any]:
    payload = json.loads(received.body)
    first = payload["personalizations"][0]
    parts = {part["type"]: part["value"] for part in payload.get("content", ())}
    return {
        "id": received.id,
        "message_id": received.message_id,
        "received_at": received.received_at,
        "from": payload.get("from", {}),
        "to": received.to,
        "cc": [person["email"] for person in first.get("cc", ())],
        "bcc": [person["email"] for person in first.get("bcc", ())],
        "reply_to": payload.get("reply_to_list") or [payload[k] for k in ("reply_to",) if k in payload],
        "subject": received.subject,
        "kind": received.kind,
        "categories": payload.get("categories", []),
        "text": parts.get("text/plain", ""),
        "html": parts.get("text/html", ""),
        "headers": {**payload.get("headers", {}), **first.get("headers", {})},
        "custom_args": received.custom_args,
        "attachments": payload.get("attachments", []),
        "status": received.status,
    }


def calendar(message: dict[str, Any]) -> str:
    """The text of the first calendar attachment, or nothing."""
    for attachment in message["attachments"]:
        if attachment.get("type", "").startswith("text/calendar"):
            return b64decode(attachment["content"]).decode("utf-8", "replace")
    return ""
