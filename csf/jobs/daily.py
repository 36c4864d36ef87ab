"""What a worker calls for a daily job: `csf.jobs.daily.NAME`."""

from collections.abc import Callable

from csf import clock
from csf.jobs.declared import daily_jobs
from csf.jobs.runs import run_job


def __getattr__(name: str) -> Callable[[], None]:
    if name.startswith("_") or name not in daily_jobs():
        raise AttributeError(name)

    def run() -> None:
        today = clock.today()
        run_job(name, lambda: daily_jobs()[name].work(on=today), on=today)

    return run
