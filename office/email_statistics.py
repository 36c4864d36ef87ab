"""How the emails of a period went: counts and waiting times, for the staff page and its CSV.

They are counted from what the rows contain now, so old figures remain when texts and events have been
deleted. The database does the counting and returns a row for each kind and day.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from csf.dates import start_of_day
from notifications.models import EmailAttempt, EmailStatus

DOMAINS_SHOWN = 20
# What each column counts: the state that a row is in now, except for "sent", which the provider accepted at
# any time.
STATES = {
    "delivered": EmailStatus.DELIVERED,
    "bounced": EmailStatus.BOUNCED,
    "dropped": EmailStatus.DROPPED,
    "complained": EmailStatus.COMPLAINED,
    "unknown": EmailStatus.UNKNOWN,
    "failed": EmailStatus.FAILED,
    "suppressed": EmailStatus.SUPPRESSED,
    "expired": EmailStatus.EXPIRED,
    "withheld": EmailStatus.WITHHELD,
}
COLUMNS = ["written", "waiting", "sent", *STATES]

_STATE_COUNTS = ", ".join(f"count(*) FILTER (WHERE status = '{status.value}')" for status in STATES.values())
# SendGrid reports whole seconds, and its clock is not ours: an email may seem to arrive before it was sent.
_FIGURES = f"""
SELECT kind, day, count(*), count(*) FILTER (WHERE status IN ('queued', 'sending')), count(sent_at),
    {_STATE_COUNTS},
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM sent_at - created_at)::float),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY greatest(extract(epoch FROM delivered_at - sent_at)::float, 0)
    ) FILTER (WHERE delivered_at IS NOT NULL AND sent_at IS NOT NULL)
FROM (
    SELECT kind, (created_at AT TIME ZONE %(zone)s)::date AS day, status, created_at, sent_at, delivered_at
    FROM notifications_emailmessage
    WHERE created_at >= %(since)s AND created_at < %(until)s AND NOT is_test
        AND (%(kind)s = '' OR kind = %(kind)s)
) AS written
GROUP BY GROUPING SETS ((kind, day), (kind), (day), ())
ORDER BY day, kind
"""  # noqa: S608 - names and states of ours
_DOMAINS = f"""
SELECT split_part(lower("to"), '@', -1) AS domain, count(sent_at),
    count(*) FILTER (WHERE status = 'bounced') AS bounced
FROM notifications_emailmessage
WHERE created_at >= %(since)s AND created_at < %(until)s AND NOT is_test
    AND (%(kind)s = '' OR kind = %(kind)s)
GROUP BY domain
HAVING count(*) FILTER (WHERE status = 'bounced') > 0
ORDER BY bounced DESC, domain
LIMIT {DOMAINS_SHOWN}
"""  # noqa: S608 - a number of ours
_ROUTES = """
SELECT attempt.route, count(*)
FROM notifications_emailattempt AS attempt
JOIN notifications_emailmessage AS email ON email.id = attempt.message_id
WHERE attempt.posted_at >= %(since)s AND attempt.posted_at < %(until)s AND attempt.outcome = 'sent'
    AND NOT email.is_test AND (%(kind)s = '' OR email.kind = %(kind)s)
GROUP BY attempt.route
ORDER BY attempt.route DESC
"""


@dataclass(frozen=True)
class Period:
    """Whole days of the school, the last one included; of one kind, or of all if it is empty."""

    first: datetime.date
    last: datetime.date
    kind: str = ""

    @property
    def days(self) -> list[datetime.date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    @property
    def values(self) -> dict[str, Any]:
        return {
            "since": start_of_day(self.first),
            "until": start_of_day(self.last + timedelta(days=1)),
            "zone": settings.SCHOOL_TIME_ZONE,
            "kind": self.kind,
        }


@dataclass(frozen=True)
class Row:
    """Without a kind it is about all kinds, without a day about the whole period."""

    kind: str | None
    on: datetime.date | None
    counts: dict[str, int]
    accepted_s: Sequence[float | None] = (None, None)
    """From written to taken by the provider: median and 95th percentile."""
    delivered_s: Sequence[float | None] = (None, None)
    """From there to the recipient's server."""


@dataclass(frozen=True)
class Domain:
    name: str
    sent: int
    bounced: int


@dataclass(frozen=True)
class Figures:
    cells: list[Row]
    by_kind: list[Row]
    by_day: list[Row]
    total: Row
    domains: list[Domain]
    routes: dict[str, int]
    """Of the emails that a provider took in the period: by which way."""

    @property
    def by_second_provider(self) -> float:
        """Its share, from 0 to 1."""
        return self.routes.get(EmailAttempt.Route.FAILOVER, 0) / (sum(self.routes.values()) or 1)


def figures(period: Period) -> Figures:
    """In three statements."""
    rows = [_row(*values) for values in _fetched(_FIGURES, period)]
    by_day = {row.on: row for row in rows if row.on and row.kind is None}
    return Figures(
        cells=[row for row in rows if row.on and row.kind],
        by_kind=[row for row in rows if row.on is None and row.kind],
        by_day=[by_day.get(on) or _row(None, on, *[0] * len(COLUMNS), None, None) for on in period.days],
        total=next(row for row in rows if row.on is None and row.kind is None),
        domains=[Domain(*values) for values in _fetched(_DOMAINS, period)],
        routes=dict(_fetched(_ROUTES, period)),
    )


def _fetched(statement: str, period: Period) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, period.values)
        return list(cursor.fetchall())


def _row(kind: str | None, on: datetime.date | None, *values: Any) -> Row:
    *counts, accepted_s, delivered_s = values
    none = (None, None)
    return Row(kind, on, dict(zip(COLUMNS, counts, strict=True)), accepted_s or none, delivered_s or none)
