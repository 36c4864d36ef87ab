from collections.abc import Callable

from django.http import HttpRequest

from enrollments.families.signed_in import guardian
from notifications.models import Suppression


def unreachable(request: HttpRequest) -> dict[str, Callable[[], Suppression | None]]:
    """Why no email reaches the parent who is signed in; looked up only where a page asks."""

    def mail_stop() -> Suppression | None:
        parent = guardian(request)
        if parent is None:
            return None
        stops = Suppression.objects.in_force().at([parent.email])
        return stops.filter(scope=Suppression.Scope.ALL).first()

    return {"mail_stop": mail_stop}
