"""The staff page of what the daily jobs will do, according to the jobs themselves, and what they did."""

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Prefetch, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from billing.installments.staff_actions import hold, unhold
from billing.models import Card, CardAgreement, Installment
from billing.models.installments import CHARGEABLE
from csf import clock
from csf.jobs.declared import DailyJob, Plan, daily_jobs
from csf.jobs.report import Line
from csf.jobs.schedules import paused
from csf.models import JobRun
from csf.refusal import NotPossible
from csf.staff.pages import staff_page
from csf.templatetags.csf_format import day
from enrollments.models import User

DAYS_AHEAD = 60
DAYS_BACK = 365
SHOWN = 20  # of each list, while all jobs are on one page
PER_PAGE = 100
RECENT_RUNS = 10
MAY_HOLD = "billing.hold_installment"

PLANNED, SKIPPED = "planned", "skipped"


def planned_jobs() -> dict[str, DailyJob]:
    """Those that can say what they will do."""
    return {name: job for name, job in daily_jobs().items() if job.plan}


def plan_of(job: DailyJob) -> Plan:
    assert job.plan is not None
    return job.plan


# --- What is asked for --------------------------------------------------------------------------------------


class DayForm(forms.Form):
    """A day, and perhaps one list of one job to page through."""

    date = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    job = forms.ChoiceField(required=False, choices=lambda: [(name, name) for name in planned_jobs()])
    lines = forms.ChoiceField(required=False, choices=[(PLANNED, PLANNED), (SKIPPED, SKIPPED)])

    def __init__(self, *args: Any, today: datetime.date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first, self.last = today - timedelta(days=DAYS_BACK), today + timedelta(days=DAYS_AHEAD)
        limits = {"min": self.first.isoformat(), "max": self.last.isoformat()}
        self.fields["date"].widget.attrs.update(limits)

    def clean_date(self) -> datetime.date | None:
        on: datetime.date | None = self.cleaned_data["date"]
        if on and not self.first <= on <= self.last:
            raise forms.ValidationError(f"Choose a day from {day(self.first)} to {day(self.last)}.")
        return on


class HoldForm(forms.Form):
    act = forms.ChoiceField(choices=[("hold", "hold"), ("release", "release")])
    installment = forms.ModelChoiceField(Installment.objects.select_related("order"))
    reason = forms.CharField(
        max_length=300, error_messages={"required": "Give a reason: it stays in the history."}
    )


# --- What is shown ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A line with the installment that it is about; without one if a finished run stored no more than
    words."""

    line: Line
    part: Any = None

    @property
    def card(self) -> Card | None:
        """The one that would be charged."""
        return next((agreement.card for agreement in self.part.order.current_agreements), None)

    @property
    def act(self) -> str:
        """What staff can do with it here."""
        if self.part is None or self.part.status not in CHARGEABLE:
            return ""
        if self.part.held_at:
            return "release"
        return "" if self.line.reason else "hold"


@dataclass
class Listing:
    """The beginning of a list, or a page of it; the totals are of all."""

    name: str
    lines: Sequence[Line]
    page: Page[Line] | None = None
    rows: list[Row] = field(default_factory=list)

    @property
    def shown(self) -> Sequence[Line]:
        return self.lines[:SHOWN] if self.page is None else list(self.page)

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def cents(self) -> int:
        return sum(line.amount_cents for line in self.lines)

    @property
    def more(self) -> int:
        return 0 if self.page else max(self.count - SHOWN, 0)


@dataclass
class Section:
    """A job on a day: what it would do, or once it ran, what it stored."""

    job: DailyJob
    on: datetime.date
    run: JobRun | None
    is_over: bool
    listings: list[Listing] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return plan_of(self.job)

    @property
    def has_payments(self) -> bool:
        return self.plan.about == Installment._meta.label_lower

    @property
    def at(self) -> datetime.time:
        return self.job.at

    @property
    def reasons(self) -> list[tuple[str, int]]:
        return Counter(
            line.reason for listing in self.listings for line in listing.lines if line.reason
        ).most_common()

    def find(self) -> None:
        if self.is_over:
            stored = self.run.report.get("skipped", []) if self.run else []
            self.listings = [Listing(SKIPPED, [Line(row["subject"], 0, 0, row["reason"]) for row in stored])]
        else:
            report = self.job.work(on=self.on, dry_run=True)
            self.listings = [Listing(PLANNED, report.planned), Listing(SKIPPED, report.skipped)]

    def show_only(self, name: str, page: str) -> None:
        self.listings = [listing for listing in self.listings if listing.name == name]
        for listing in self.listings:
            listing.page = Paginator(listing.lines, PER_PAGE).get_page(page)


def sections(names: Iterable[str], *, on: datetime.date | None, today: datetime.date) -> list[Section]:
    """Of that day, or of the next one on which each job has not run yet."""
    runs = {run.job: run for run in JobRun.objects.filter(job__in=names, on=on or today)}
    found = []
    for name in names:
        job, run = planned_jobs()[name], runs.get(name)
        has_run = run is not None and run.status != JobRun.Status.FAILED
        if on is None and has_run:
            section = Section(job, today + timedelta(days=1), None, is_over=False)
        else:
            section = Section(job, on or today, run, is_over=has_run or (on or today) < today)
        section.find()
        found.append(section)
    return found


def _add_rows(found: Sequence[Section]) -> None:
    """Read what is shown of the lines, in the same few statements for any number of lines."""
    about_parts = [section for section in found if section.has_payments]
    ids = {line.row_id for section in about_parts for listing in section.listings for line in listing.shown}
    parts = Installment.objects.filter(order=OuterRef("order")).order_by().values("order")
    current = CardAgreement.objects.current().select_related("card")
    rows = (
        Installment.objects.filter(pk__in=ids)
        .select_related("order__household")
        .annotate(of=Subquery(parts.annotate(count=Count("pk")).values("count")))
        .prefetch_related(Prefetch("order__card_agreements", current, to_attr="current_agreements"))
    )
    found_parts = {part.pk: part for part in rows}
    for section in found:
        known = found_parts if section.has_payments else {}
        for listing in section.listings:
            listing.rows = [Row(line, known.get(line.row_id)) for line in listing.shown]


@dataclass(frozen=True)
class PastRun:
    run: JobRun

    @property
    def title(self) -> str:
        return plan_of(planned_jobs()[self.run.job]).title

    @property
    def reasons(self) -> list[tuple[str, int]]:
        return Counter(row["reason"] for row in self.run.report.get("skipped", [])).most_common()


def recent_runs() -> list[PastRun]:
    rows = JobRun.objects.filter(job__in=planned_jobs()).select_related("covered_by")
    return [PastRun(run) for run in rows.order_by("-on", "-started_at")[:RECENT_RUNS]]


# --- The page -----------------------------------------------------------------------------------------------


@staff_page(
    "tomorrow",
    title="Tomorrow's run",
    icon="event_upcoming",
    group="Orders and money",
    permission="billing.view_installment",
)
def tomorrow(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _hold_or_unhold(request)
    today = clock.today()
    form = DayForm(request.GET, today=today)
    context = admin.site.each_context(request) | {
        "title": "Tomorrow's run",
        "form": form,
        "today": today,
        "tomorrow": today + timedelta(days=1),
    }
    if form.is_valid():
        context |= _shown(request, form.cleaned_data, today=today)
    return render(request, "admin/tomorrow.html", context, status=200 if form.is_valid() else 400)


def _shown(request: HttpRequest, asked: dict[str, Any], *, today: datetime.date) -> dict[str, Any]:
    on, job, name = asked["date"], asked["job"], asked["lines"]
    found = sections([job] if job else list(planned_jobs()), on=on, today=today)
    if job and name:
        for section in found:
            section.show_only(name, request.GET.get("page", "1"))
    _add_rows(found)
    return {
        "on": on,
        "is_past": on is not None and on < today,
        "is_one_list": bool(job and name),
        "sections": found,
        "paused": paused(),
        "recent_runs": recent_runs(),
        "may_hold": request.user.has_perm(MAY_HOLD),
    }


def _hold_or_unhold(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(MAY_HOLD):
        raise PermissionDenied
    form = HoldForm(request.POST)
    if form.is_valid():
        _change(request, **form.cleaned_data)
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect(request.get_full_path())


def _change(request: HttpRequest, *, act: str, installment: Installment, reason: str) -> None:
    assert isinstance(request.user, User)
    change, done = (hold, "is on hold") if act == "hold" else (unhold, "is no longer on hold")
    try:
        change(installment=installment, by=request.user, reason=reason)
    except NotPossible as refused:
        messages.error(request, refused.message)
    else:
        messages.success(request, f"{installment} {done}.")
