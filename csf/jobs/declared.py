"""Jobs declare themselves beside the function that does the work, and nothing else lists them.

`@daily_job` gives a function its schedule, its command (`manage.py NAME`, or `run_job NAME`), a JobRun for
each day, the alert if that is missing, and with a `Plan` a place on the page Tomorrow's run. `@scheduled` is
for what runs more often.
"""

import datetime
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from django.apps import apps
from django.conf import settings

from csf.jobs.report import Report

Task = TypeVar("Task", bound=Callable[[], object])
Work = TypeVar("Work", bound=Callable[..., Report])

EVERY_MINUTE = "* * * * *"
EARLIEST = datetime.time(4)
_DECLARES = re.compile(r"^@(daily_job|scheduled)\(", re.MULTILINE)
_declared: dict[str, "Job"] = {}


@dataclass(frozen=True)
class Plan:
    """How the page Tomorrow's run shows what a job will do."""

    title: str
    does: str
    """What happens to each row, as "to be charged"."""
    about: str
    """The model that its lines are about."""


@dataclass(frozen=True)
class Job:
    name: str
    title: str
    cron: str
    """In SCHOOL_TIME_ZONE."""
    task: str
    """The dotted path of what a worker calls."""
    is_urgent: bool = False
    """Queued by the urgent workers themselves, so that one of these jobs is missed if there are none."""


@dataclass(frozen=True)
class DailyJob(Job):
    """Done once for each local date, see `csf.jobs.runs`."""

    at: datetime.time = EARLIEST
    work: Callable[..., Report] = Report
    plan: Plan | None = None

    @property
    def has_dry_run(self) -> bool:
        return "dry_run" in inspect.signature(self.work).parameters

    @property
    def help(self) -> str:
        return (inspect.getdoc(self.work) or "").partition("\n\n")[0].replace("\n", " ")


def daily_job(*, at: str, title: str = "", plan: Plan | None = None) -> Callable[[Work], Work]:
    """For a function that takes `on`, the local date, and perhaps `dry_run`, and handles everything that is
    due by then. `at` is a local time like "09:00"."""
    time = datetime.time.fromisoformat(at)
    if time < EARLIEST:
        raise ValueError(f"{at} may come twice in a night, or never: choose {EARLIEST} or later")

    def declare(work: Work) -> Work:
        name = work.__name__
        cron, task = f"{time.minute} {time.hour} * * *", f"csf.jobs.daily.{name}"
        _add(DailyJob(name, title or _title(name), cron, task, at=time, work=work, plan=plan))
        return work

    return declare


def scheduled(
    cron: str, *, name: str = "", title: str = "", is_urgent: bool = False
) -> Callable[[Task], Task]:
    """For a task without arguments that may run at any time and twice."""

    def declare(task: Task) -> Task:
        job = name or task.__name__
        _add(Job(job, title or _title(job), cron, f"{task.__module__}.{task.__name__}", is_urgent))
        return task

    return declare


def _add(job: Job) -> None:
    if job.name in _declared:
        raise ValueError(f"two jobs are called {job.name}")
    _declared[job.name] = job


def _title(name: str) -> str:
    """As "Send installment reminders"."""
    return name.replace("_", " ").capitalize()


def job_title(name: str) -> str:
    """Of a job that may have been renamed since its schedule was made."""
    job = jobs().get(name)
    return job.title if job else _title(name)


@cache
def jobs() -> Mapping[str, Job]:
    """All that are declared, by name: the daily ones by their time, then the others."""
    for module in _modules_with_jobs():
        import_module(module)
    return {job.name: job for job in sorted(_declared.values(), key=_place)}


def _place(job: Job) -> tuple[Any, ...]:
    return (False, job.at, job.name) if isinstance(job, DailyJob) else (True, datetime.time(), job.name)


def _modules_with_jobs() -> Iterator[str]:
    """Files are found by their text, so that a new file with a job does not have to be registered."""
    for app in apps.get_app_configs():
        root = Path(app.path)
        if root.parent == settings.BASE_DIR:
            for file in sorted(root.rglob("*.py")):
                if _DECLARES.search(file.read_text(encoding="utf-8")):
                    yield ".".join(file.relative_to(settings.BASE_DIR).with_suffix("").parts)


def daily_jobs() -> dict[str, DailyJob]:
    return {name: job for name, job in jobs().items() if isinstance(job, DailyJob)}
