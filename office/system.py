"""The staff page System: what is wrong, since when and what to do, and all that works in the background."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django_q.models import Schedule

from billing.models import BookDifference
from csf import __version__, clock
from csf.jobs import queue, schedules
from csf.jobs.declared import job_title, jobs
from csf.models import Cluster, JobRun, ProofRun
from csf.staff.pages import staff_page
from csf.templatetags.csf_format import time_of_day
from notifications.alerts.disks import database_folder, disks
from notifications.alerts.rule import Symptom
from notifications.alerts.rules import symptoms
from notifications.models import Alert

SEES, ACTS = "csf.view_cluster", "csf.change_cluster"
# Tables of installed packages, and our own that nobody needs every day.
MORE = {
    "Queue": ["django_q.ormq", "django_q.failure", "django_q.success", "django_q.schedule", "csf.jobrun"],
    "Stripe's objects, as dj-stripe keeps them": [
        "djstripe.account",
        "djstripe.charge",
        "djstripe.customer",
        "djstripe.event",
        "djstripe.paymentintent",
        "djstripe.paymentmethod",
        "djstripe.session",
        "djstripe.webhookendpoint",
    ],
    "Sign-in": ["account.emailaddress", "auth.group"],
    "This installation": ["csf.cluster", "csf.instance"],
}
PAUSED, RESUMED = "Paused: ", "Resumed: "


# --- What is wrong ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trouble:
    symptom: Symptom
    since: datetime.datetime | None
    """None if no alert has reported it yet."""

    @property
    def is_urgent(self) -> bool:
        return self.symptom.level == Alert.Level.PAGE


def troubles() -> list[Trouble]:
    """What is wrong now, the urgent first. What is worth a call is also found as a warning: once is enough
    here."""
    began = {
        (alert.name, alert.about): alert.began_at
        for alert in Alert.objects.filter(ended_at=None).order_by("-began_at")
    }
    worst: dict[tuple[str, str], Symptom] = {}
    for symptom in symptoms():
        key = (symptom.name, symptom.about)
        if key not in worst or symptom.level == Alert.Level.PAGE:
            worst[key] = symptom
    found = [Trouble(symptom, began.get(key)) for key, symptom in worst.items()]
    return sorted(found, key=lambda trouble: not trouble.is_urgent)


# --- Clusters and schedules ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClusterLine:
    cluster: Cluster
    state: str
    badge: str

    @property
    def may_be_forgotten(self) -> bool:
        return self.badge != "success"


def cluster_lines() -> list[ClusterLine]:
    silent, stuck = (
        set(found.values_list("pk", flat=True))
        for found in (Cluster.objects.silent(), Cluster.objects.stuck())
    )

    def line(row: Cluster) -> ClusterLine:
        if row.stopped_at:
            return ClusterLine(row, "stopped", "")
        if row.pk in silent:
            return ClusterLine(row, "not responding", "danger")
        return (
            ClusterLine(row, "stuck", "danger") if row.pk in stuck else ClusterLine(row, "works", "success")
        )

    return [line(row) for row in Cluster.objects.all()]


@dataclass(frozen=True)
class ScheduleLine:
    schedule: schedules.Scheduled
    run: JobRun | None
    """The last one, of a job that keeps one a day."""
    pause: LogEntry | None

    @property
    def rhythm(self) -> str:
        return rhythm(self.schedule.cron)


def schedule_lines() -> list[ScheduleLine]:
    runs = {run.job: run for run in JobRun.objects.order_by("job", "-on").distinct("job")}
    pauses = _pauses()
    return [
        ScheduleLine(row, runs.get(row.name), pauses.get(str(row.pk)) if row.is_paused else None)
        for row in schedules.schedules()
    ]


def _pauses() -> dict[str, LogEntry]:
    """The last pause of each schedule, by its id."""
    notes = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Schedule),
        action_flag=CHANGE,
        change_message__startswith=PAUSED,
    )
    return {note.object_id or "": note for note in notes.select_related("user").order_by("action_time")}


def rhythm(cron: str) -> str:
    """A cron line in words; any that is not ours is shown as it is."""
    match cron.split():
        case ["*", "*", "*", "*", "*"]:
            return "every minute"
        case [step, "*", "*", "*", "*"] if step.startswith("*/"):
            return f"every {step.removeprefix('*/')} minutes"
        case [minute, "*", "*", "*", "*"] if minute.isdecimal():
            return f"every hour, {minute} past"
        case [minute, hour, "*", "*", "*"] if minute.isdecimal() and hour.isdecimal():
            return f"daily at {time_of_day(datetime.time(int(hour), int(minute)))}"
    return cron


# --- The page -----------------------------------------------------------------------------------------------


class ActForm(forms.Form):
    act = forms.ChoiceField(choices=[(act, act) for act in ("pause", "resume", "run", "forget")])
    name = forms.CharField(max_length=80)
    reason = forms.CharField(max_length=200, required=False)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("act") in {"pause", "resume"} and not data.get("reason"):
            raise forms.ValidationError("Give a reason: it stays in the history.")
        return data


@staff_page("system", title="System", icon="monitor_heart", group="Operations", permission=SEES)
def system(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _act(request)
    now = clock.now()
    context = admin.site.each_context(request) | {
        "title": "System",
        "now": now,
        "version": __version__,
        "troubles": troubles(),
        "clusters": cluster_lines(),
        "waiting": queue.waiting(),
        "waiting_since": queue.waiting_since(),
        "failed": queue.failed(),
        "schedules": schedule_lines(),
        "proof": ProofRun.objects.finished().first(),
        "comparison": JobRun.objects.filter(job="compare_books", status=JobRun.Status.DONE).first(),
        "differences": BookDifference.objects.filter(closed_at=None).count(),
        "disks": disks(),
        "sees_database": database_folder() is not None,
        "more": {title: found for title, labels in MORE.items() if (found := _links(request, labels))},
        "may_act": request.user.has_perm(ACTS),
    }
    return render(request, "admin/system.html", context)


def _links(request: HttpRequest, labels: Iterable[str]) -> list[tuple[str, str]]:
    models = [apps.get_model(label) for label in labels]
    return [
        (
            str(capfirst(model._meta.verbose_name_plural)),
            reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"),
        )
        for model in models
        if admin.site.get_model_admin(model).has_view_permission(request)
    ]


def _act(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(ACTS):
        raise PermissionDenied
    form = ActForm(request.POST)
    if form.is_valid():
        messages.success(request, _done(request, **form.cleaned_data))
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect("admin:system")


def _done(request: HttpRequest, *, act: str, name: str, reason: str) -> str:
    """Do it, and say so."""
    if act == "forget":
        Cluster.objects.filter(name=name).exclude(pk__in=Cluster.objects.well()).delete()
        return f"Cluster {name} is forgotten."
    if name not in jobs():
        return f"There is no job {name}."
    title = job_title(name)
    if act == "run":
        schedules.run_now(name)
        return f"{title} starts within a minute."
    is_pause = act == "pause"
    row = schedules.set_paused(name, is_pause)
    if row is None:
        return f"{title} has no schedule: run manage.py sync_schedules."
    note = f"{PAUSED if is_pause else RESUMED}{reason}"
    admin.site.get_model_admin(Schedule).log_change(request, row, note)
    return f"{title} is {'paused' if is_pause else 'no longer paused'}."
