"""One JSON object a line, for production, with the request or task that it belongs to. What is logged names
rows by id: no names, no addresses, no secrets (csf/logs/redaction.py)."""

import datetime
import json
import logging
import logging.config
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from csf.logs.redaction import OUR_APPS, error_text, redact_foreign, redact_ours, traceback_text

WITHOUT_A_ROUTE = "(no such page)"

# Which request or task a line belongs to, as fields of it.
belongs_to: ContextVar[dict[str, str]] = ContextVar("belongs_to", default={})  # noqa: B039 - never changed in place


def is_json(environment: Mapping[str, str | None]) -> bool:
    mode = environment.get("CSF_MODE") or "production"
    return (environment.get("LOG_FORMAT") or ("json" if mode == "production" else "plain")) == "json"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": message_of(record),
            **belongs_to.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and (error := record.exc_info[1]):
            line["exception"] = traceback_text(error)
        return json.dumps(line)  # a line break in a value becomes \n, so that nobody can forge a line


def message_of(record: logging.LogRecord) -> str:
    """The message, cut to what may be said."""
    request = getattr(record, "request", None)
    if request is not None:  # Django names the path, which may hold a token
        status = getattr(record, "status_code", "")
        return f"{status} {getattr(request, 'method', '')} {route_of(request)}"
    if isinstance(record.args, tuple):
        args = tuple(error_text(arg) if isinstance(arg, BaseException) else arg for arg in record.args)
        record = logging.makeLogRecord({**record.__dict__, "args": args})
    cut = redact_ours if record.name.partition(".")[0] in OUR_APPS else redact_foreign
    return cut(record.getMessage())


def route_of(request: Any) -> str:
    """Its pattern in urls.py: the path itself may hold the token of a link."""
    match = getattr(request, "resolver_match", None)
    return f"/{match.route}" if match else WITHOUT_A_ROUTE


def configure(config: dict[str, Any]) -> None:
    logging.config.dictConfig(config)
    if config["handlers"]["console"]["formatter"] == "json":
        _log_what_nobody_caught()


def follow_tasks() -> None:
    """A line that a worker logs names its task."""
    from django_q.signals import post_execute_in_worker, pre_execute  # has models, which load later

    pre_execute.connect(_begin_task, dispatch_uid="csf.logs.json_lines")
    post_execute_in_worker.connect(_end_task, dispatch_uid="csf.logs.json_lines")


def _begin_task(task: dict[str, Any], **kwargs: Any) -> None:
    belongs_to.set({"task": str(task["func"]), "task_id": str(task["id"])})


def _end_task(**kwargs: Any) -> None:
    belongs_to.set({})


def _log_what_nobody_caught() -> None:
    """Also of threads, and warnings of Python, or these would be plain lines between the others."""
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt) or sys.stderr.isatty():
        sys.__excepthook__(kind, error or kind(), trace)
        return
    logging.getLogger("csf.uncaught").critical("nobody caught this", exc_info=(kind, error, trace))
