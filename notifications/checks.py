from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from notifications.sending import failover


@register()
def second_route(**kwargs: Any) -> Iterable[CheckMessage]:
    """A second route that is wrong would be found out on the day that it is needed."""
    if settings.EMAIL_FAILOVER:
        try:
            failover.backend().close()
        except ValueError as error:
            yield Error(f"EMAIL_FAILOVER: {error}. Unset it to have none.", id="csf.E016")
