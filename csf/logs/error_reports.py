"""Sentry, if SENTRY_DSN is set: it gets what the log says at level ERROR and above, in the same words."""

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings

from csf.logs.json_lines import belongs_to, message_of
from csf.logs.redaction import chain, error_text

if TYPE_CHECKING:
    from sentry_sdk.transport import Transport

# Parts of an event that hold nobody's data. All others are left out, also those of a later version.
KEPT = {"event_id", "timestamp", "level", "logger", "platform", "environment", "server_name", "sdk"}
OF_A_FRAME = {"filename", "abs_path", "function", "module", "lineno", "context_line", "pre_context"} | {
    "post_context",
    "in_app",
}


def is_dsn(value: str) -> bool:
    from sentry_sdk.utils import BadDsn, Dsn  # only where it is wanted

    try:
        Dsn(value)
    except BadDsn:
        return False
    return True


def start(transport: "Transport | None" = None) -> None:
    if not settings.SENTRY_DSN or not is_dsn(settings.SENTRY_DSN):
        return
    import sentry_sdk
    from sentry_sdk.integrations.atexit import AtexitIntegration
    from sentry_sdk.integrations.logging import LoggingIntegration

    sentry_sdk.init(
        settings.SENTRY_DSN,
        transport=transport,
        environment=settings.INSTANCE_ID,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[LoggingIntegration(level=None, event_level=logging.ERROR), AtexitIntegration()],
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=only_what_may_be_said,
    )


def only_what_may_be_said(event: Any, hint: dict[str, Any]) -> Any:
    said = {name: value for name, value in event.items() if name in KEPT}
    said["tags"] = dict(belongs_to.get())
    if record := hint.get("log_record"):
        said["message"] = message_of(record)
    if (hint.get("exc_info") or (None, None))[1]:
        said["exception"] = {"values": _errors(event, hint["exc_info"][1])}
    return said


def _errors(event: Any, error: BaseException) -> list[dict[str, Any]]:
    """Sentry lists the first error first."""
    known = event.get("exception", {}).get("values", [])
    texts = [error_text(one) for one in chain(error)]
    words = texts if len(texts) == len(known) else [""] * len(known)
    return [
        {"type": one.get("type"), "module": one.get("module"), "value": text, "stacktrace": _frames(one)}
        for one, text in zip(known, words, strict=True)
    ]


def _frames(one: Any) -> dict[str, Any]:
    frames = (one.get("stacktrace") or {}).get("frames", [])
    return {"frames": [{k: v for k, v in frame.items() if k in OF_A_FRAME} for frame in frames]}
