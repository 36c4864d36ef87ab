import logging

from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse

from notifications.watch.health import problems

logger = logging.getLogger(__name__)


@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether everything behind the pages moves. The reasons go to the log, not to strangers."""
    try:
        found = problems()
    except DatabaseError as error:
        found = [f"the database does not answer: {error}"]
    for problem in found:
        logger.error("not ready: %s", problem)
    text, status = ("not ready\n", 503) if found else ("ready\n", 200)
    return HttpResponse(text, status=status, content_type="text/plain")
