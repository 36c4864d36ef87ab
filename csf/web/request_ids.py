"""Each request has a number: in the response, in everything that is logged for it, and on error pages."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from csf.logs.json_lines import belongs_to, route_of

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)
ASKED_BY_MACHINES = {"/healthz", "/readyz", "/metrics"}

logger = logging.getLogger("csf.access")


def numbered(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Goes outside all other middleware."""

    def middleware(request: HttpRequest) -> HttpResponse:
        number = _given(request) or uuid.uuid4().hex
        before = belongs_to.set({"request_id": number})
        began_at = time.perf_counter()
        try:
            response = get_response(request)
            response[HEADER] = number
            _log(request, response, took_ms=(time.perf_counter() - began_at) * 1000)
        finally:
            belongs_to.reset(before)
        return response

    return middleware


def current() -> str:
    return belongs_to.get().get("request_id", "")


def _given(request: HttpRequest) -> str | None:
    """Set by the proxy, which is trusted if there is one."""
    given: str = request.headers.get(HEADER, "")
    return given if settings.ALLAUTH_TRUSTED_PROXY_COUNT > 0 and SANE.fullmatch(given) else None


def _log(request: HttpRequest, response: HttpResponse, *, took_ms: float) -> None:
    route = route_of(request)
    if route in ASKED_BY_MACHINES or request.path.startswith(settings.STATIC_URL):
        return
    fields = {
        "method": request.method if request.method in {"GET", "POST", "HEAD"} else "other",
        "route": route,
        "status": response.status_code,
        "took_ms": round(took_ms),
    }
    logger.info("%(method)s %(route)s %(status)s", fields, extra={"fields": fields})
