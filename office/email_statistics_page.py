"""The staff page of the email statistics, and the same as CSV."""

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.widgets import UnfoldAdminSelectWidget

from csf.staff.pages import staff_page
from csf.templatetags.csf_format import day
from notifications.kinds import choices, title_of
from office.chart import HEIGHT, WIDTH, Part, chart
from office.csv_file import csv_file
from office.email_statistics import COLUMNS, Figures, Period, Row, figures
from office.period_form import PeriodForm

TITLE = "Email statistics"
# The parts of a bar, from bottom to top.
PARTS = [
    Part("Delivered", "figures-delivered"),
    Part("Accepted, outcome not known yet", "figures-taken"),
    Part("Failed", "figures-wrong"),
    Part("Not sent", "figures-unsent"),
]
WRONG = ["bounced", "dropped", "complained", "unknown", "failed"]
UNSENT = ["waiting", "suppressed", "expired", "withheld"]
TIMES = ["accepted_median_s", "accepted_p95_s", "delivered_median_s", "delivered_p95_s"]


class StatisticsForm(PeriodForm):
    kind = forms.ChoiceField(
        required=False, choices=[("", "All kinds"), *choices()], widget=UnfoldAdminSelectWidget
    )


@staff_page(
    "email_statistics",
    title=TITLE,
    icon="monitoring",
    group="Email",
    permission="notifications.view_emailmessage",
)
def email_statistics(request: HttpRequest) -> HttpResponse:
    form = StatisticsForm(request.GET)
    if not form.is_valid():
        context = admin.site.each_context(request) | {"title": TITLE, "form": form}
        return render(request, "admin/notifications/email_statistics.html", context, status=400)
    period = Period(**form.cleaned_data)
    found = figures(period)
    if request.GET.get("csv"):
        lines = _domain_lines(found) if request.GET["csv"] == "domains" else _lines(found)
        return csv_file(f"emails-{period.first}-{period.last}.csv", lines)
    context = admin.site.each_context(request) | {
        "title": TITLE,
        "form": StatisticsForm(initial=form.cleaned_data),
        "period": period,
        "query": f"first={period.first}&last={period.last}&kind={period.kind}",
        "headers": [name.capitalize() for name in COLUMNS],
        "found": found,
        "share": f"{100 * found.by_second_provider:.1f}%",
        "total": _shown(found.total),
        "by_kind": [(title_of(row.kind or ""), _shown(row)) for row in found.by_kind],
        "by_day": [(day(row.on), _shown(row)) for row in found.by_day if row.on and row.counts["written"]],
        "chart": chart(PARTS, [(row.on, _parts_of(row)) for row in found.by_day if row.on]),
        "width": WIDTH,
        "height": HEIGHT,
    }
    return render(request, "admin/notifications/email_statistics.html", context)


def _parts_of(row: Row) -> list[int]:
    """Each email is in one state: the rest were accepted by the provider."""
    counts = row.counts
    others = sum(counts[name] for name in counts if name not in {"written", "sent"})
    wrong, unsent = (sum(counts[name] for name in names) for names in (WRONG, UNSENT))
    return [counts["delivered"], counts["written"] - others, wrong, unsent]


def _shown(row: Row) -> dict[str, Any]:
    return {
        "counts": [(name, row.counts[name]) for name in COLUMNS],
        "accepted": _times(row.accepted_s),
        "delivered": _times(row.delivered_s),
    }


def _times(pair: Sequence[float | None]) -> str:
    return " / ".join(_time(seconds) for seconds in pair if seconds is not None)


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f}\u00a0s"
    return f"{seconds / 60:.0f}\u00a0min" if seconds < 6000 else f"{seconds / 3600:.1f}\u00a0h"


# --- CSV ----------------------------------------------------------------------------------------------------


def _lines(found: Figures) -> Iterable[list[Any]]:
    """A line for each kind and day, then the sums that the page shows; an empty cell stands for all."""
    yield ["kind", "day", *COLUMNS, *TIMES]
    for row in [*found.cells, *found.by_kind, *found.by_day, found.total]:
        times = [None if time is None else round(time, 1) for time in [*row.accepted_s, *row.delivered_s]]
        yield [row.kind, row.on, *row.counts.values(), *times]


def _domain_lines(found: Figures) -> Iterable[list[Any]]:
    yield ["domain", "sent", "bounced"]
    for domain in found.domains:
        yield [domain.name, domain.sent, domain.bounced]
