"""Two transactions that want the same rows: what the database breaks off is run again, or said in words."""

import logging
import random
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, models
from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.shortcuts import render
from django.template.loader import render_to_string

from csf.logs import route_of
from csf.requests import current

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

BROKEN_OFF = {"40P01", "40001"}  # a deadlock, a serialization failure
LOCK_TIMEOUT = "55P03"
RUNS = 3
RETRY_AFTER_S = 5


def sqlstate(error: BaseException) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


def again_after_deadlock(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function up to RUNS times if the database breaks its transaction off in favour of another.

    Goes outside `transaction.atomic`. Inside a caller's transaction nothing is repeated: all of that is lost,
    so the outermost must decide.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(RUNS - 1):
            try:
                return function(*args, **kwargs)
            except OperationalError as error:
                if connection.in_atomic_block or sqlstate(error) not in BROKEN_OFF:
                    raise
                logger.warning("%s is run again: %s", function.__qualname__, error)
            time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - so that the two do not meet again
            for value in (*args, *kwargs.values()):
                if isinstance(value, models.Model):
                    value.refresh_from_db()  # what the lost run had set on it was rolled back
        return function(*args, **kwargs)

    return run


class BusyMiddleware:
    """A page that could not get its rows in time, or not reach the database at all, says so: its transaction
    was rolled back, so nothing is half written and the same button may be pressed again."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        return self._away(request) if getattr(request, "is_database_away", False) else response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if is_database_away(error):
            return self._away(request)
        if sqlstate(error) not in BROKEN_OFF | {LOCK_TIMEOUT}:
            return None
        logger.warning("busy: %s %s: %s", request.method, route_of(request), error)
        page = render(request, "busy.html", status=503)
        page["Retry-After"] = str(RETRY_AFTER_S)
        return page

    def _away(self, request: HttpRequest) -> HttpResponse:
        """Without anything that would ask the database again."""
        logger.error("the database cannot be reached: %s %s", request.method, route_of(request))
        page = HttpResponse(render_to_string("away.html"), status=503)
        page["Retry-After"] = str(RETRY_AFTER_S)
        return page


def is_database_away(error: BaseException) -> bool:
    """Refused, cut or shutting down; not an error of ours."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    state = sqlstate(error)
    return not state or state.startswith("08") or state in {"57P01", "57P02", "57P03", "53300"}


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's last word on an exception. One of the middleware itself passes no `process_exception`."""
    request.is_database_away = is_database_away(sys.exc_info()[1] or Exception())  # type: ignore[attr-defined]
    return HttpResponseServerError(render_to_string("500.html", {"request_id": current()}))
