"""What the office does each day."""

from collections.abc import Callable
from datetime import datetime

from billing.ledger.refunds import approve
from billing.models import Refund, RefundStatus
from demo.season.characters import Life
from demo.season.family import OFFICE, next_time
from enrollments.models import User


def approves_refunds(now: Callable[[], datetime], by: User) -> Life:
    while True:
        yield next_time(OFFICE, now()) - now()
        for refund in Refund.objects.filter(status=RefundStatus.REQUESTED):
            approve(refund=refund, by=by)
