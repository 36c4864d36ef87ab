"""The staff page of the email figures, and the same as CSV."""

import csv
import datetime
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from unfold.widgets import UnfoldAdminSelectWidget

from csf import clock
from csf.staff.menu import staff_page
from csf.templatetags.csf_format import day
from notifications.kinds import choices, title_of
from notifications.office.chart import HEIGHT, WIDTH, chart
from notifications.office.figures import COLUMNS, Figures, Period, Row, figures

USUAL_DAYS = 30
MOST_DAYS = 366
EARLIEST, LATEST = datetime.date(2000, 1, 1), datetime.date(2199, 12, 31)
TITLE = "Email figures"
TIMES = ["accepted_median_s", "accepted_p95_s", "delivered_median_s", "delivered_p95_s"]


class PeriodForm(forms.Form):
    first = forms.DateField(
        label="From", required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    last = forms.DateField(label="To", required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d"))
    kind = forms.ChoiceField(
        required=False, choices=[("", "All kinds"), *choices()], widget=UnfoldAdminSelectWidget
    )

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors:
            return data
        data["last"] = data["last"] or clock.today()
        data["first"] = data["first"] or data["last"] - timedelta(days=USUAL_DAYS - 1)
        if not 0 <= (data["last"] - data["first"]).days < MOST_DAYS:
            raise forms.ValidationError(f"Choose a first and a last day, at most {MOST_DAYS} days in all.")
        if not EARLIEST <= data["first"] <= data["last"] <= LATEST:
            raise forms.ValidationError(f"Choose days from {day(EARLIEST)} to {day(LATEST)}.")
        return data


@staff_page(
    "email_figures",
    title=TITLE,
    icon="monitoring",
    group="Email",
    permission="notifications.view_emailmessage",
)
def email_figures(request: HttpRequest) -> HttpResponse:
    form = PeriodForm(request.GET)
    if not form.is_valid():
        context = admin.site.each_context(request) | {"title": TITLE, "form": form}
        return render(request, "admin/notifications/figures.html", context, status=400)
    period = Period(**form.cleaned_data)
    found = figures(period)
    if request.GET.get("csv"):
        return _download(period, _domain_lines(found) if request.GET["csv"] == "domains" else _lines(found))
    context = admin.site.each_context(request) | {
        "title": TITLE,
        "form": PeriodForm(initial=form.cleaned_data),
        "period": period,
        "query": f"first={period.first}&last={period.last}&kind={period.kind}",
        "headers": [name.capitalize() for name in COLUMNS],
        "found": found,
        "share": f"{100 * found.by_second_provider:.1f}%",
        "total": _shown(found.total),
        "by_kind": [(title_of(row.kind or ""), _shown(row)) for row in found.by_kind],
        "by_day": [(day(row.on), _shown(row)) for row in found.by_day if row.on and row.counts["written"]],
        "chart": chart(found.by_day),
        "width": WIDTH,
        "height": HEIGHT,
    }
    return render(request, "admin/notifications/figures.html", context)


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


def _download(period: Period, lines: Iterable[list[Any]]) -> HttpResponse:
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in line] for line in lines])
    name = f"emails-{period.first}-{period.last}.csv"
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _cell(value: object) -> object:
    """A spreadsheet runs text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
