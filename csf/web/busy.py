"""A page that could not get its rows, or not reach the database, says so in words."""

import logging
import sys
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseServerError
from django.shortcuts import render
from django.template.loader import render_to_string

from csf.database.retry import BROKEN_OFF, LOCK_TIMEOUT, is_database_away, sqlstate
from csf.logs.json_lines import route_of
from csf.web.request_ids import current

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 5


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
        """Without anything that would query the database again."""
        logger.error("the database cannot be reached: %s %s", request.method, route_of(request))
        page = HttpResponse(render_to_string("away.html"), status=503)
        page["Retry-After"] = str(RETRY_AFTER_S)
        return page


def server_error(request: HttpRequest) -> HttpResponse:
    """Where Django ends up with an exception. One of the middleware itself passes no `process_exception`."""
    request.is_database_away = is_database_away(sys.exc_info()[1] or Exception())  # type: ignore[attr-defined]
    return HttpResponseServerError(render_to_string("500.html", {"request_id": current()}))
