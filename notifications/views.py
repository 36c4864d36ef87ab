import logging
import uuid

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.crypto import constant_time_compare

from enrollments.families.signed_in import household_of
from enrollments.models import Enrollment
from notifications.alerts.health import why_not_ready
from notifications.facts.calendar import attachments, calendar_facts

logger = logging.getLogger(__name__)


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether everything behind the pages works. The reasons go to the log, not to strangers."""
    try:
        found = why_not_ready()
    except DatabaseError as error:
        found = [f"the database does not answer: {error}"]
    for problem in found:
        logger.error("not ready: %s", problem)
    text, status = ("not ready\n", 503) if found else ("ready\n", 200)
    return HttpResponse(text, status=status, content_type="text/plain")


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    """For Prometheus, if METRICS_TOKEN is set and sent."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not constant_time_compare(
        request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}"
    ):
        return HttpResponse("unauthorized\n", status=401, headers={"WWW-Authenticate": "Bearer"})
    from notifications.alerts import metrics  # with its library, which only this page needs

    return HttpResponse(metrics.text(), content_type=metrics.CONTENT_TYPE_LATEST)


def class_calendar(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """The calendar file of a place, the same as with its email."""
    family = Enrollment.objects.enrolled().filter(child__household=household_of(request))
    place = get_object_or_404(family.select_related("child", "course__location"), public_id=public_id)
    for file in attachments({"calendars": calendar_facts(place)}):
        named = {"Content-Disposition": f'attachment; filename="{file.name}"'}
        return HttpResponse(file.content, content_type=file.mime_type, headers=named)
    raise Http404("the class has no dated sessions")
