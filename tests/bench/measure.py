"""What is measured: wall clock, CPU of a tree of processes and of PostgreSQL, memory, percentiles."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from django.db import connection

Case = dict[str, Any]
PSS_EVERY_S = 0.5  # reading the memory map costs a millisecond or two for each process


@dataclass
class Meter:
    """The measured span. CPU is user and system time, with that of children that have ended."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    db_cpu_s: float = 0.0
    peak_pss_mb: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    def figures(self, n: int) -> Case:
        return {
            "n": n,
            "seconds": round(self.seconds, 2),
            "per_second": round(n / self.seconds, 1),
            "cpu_s_per_1000": round(1000 * self.cpu_s / n, 2),
            "db_cpu_s_per_1000": round(1000 * self.db_cpu_s / n, 2),
            "peak_pss_mb": round(self.peak_pss_mb),
        }

    def watch_memory(self, pid: int) -> None:
        while not self._stop.wait(PSS_EVERY_S):
            self.peak_pss_mb = max(self.peak_pss_mb, pss_mb(pid))


@contextmanager
def measured(pid: int, *, starting: Callable[[], None] = lambda: None) -> Iterator[Meter]:
    """Measure the process `pid` with its descendants, and PostgreSQL, from the return of `starting`, which
    gives them their work, until the block ends."""
    meter = Meter(peak_pss_mb=pss_mb(pid))
    database = postmaster_pid()
    watcher = threading.Thread(target=meter.watch_memory, args=[pid], daemon=True)
    watcher.start()
    cpu_s = tree_cpu_s(pid)
    starting()
    db_cpu_s, started = tree_cpu_s(database), time.monotonic()
    try:
        yield meter
        meter.seconds = time.monotonic() - started
        meter.cpu_s = tree_cpu_s(pid) - cpu_s
        meter.db_cpu_s = tree_cpu_s(database) - db_cpu_s
    finally:
        meter._stop.set()
        watcher.join()


def tree_cpu_s(pid: int) -> float:
    """A process counts its ended children, so the sum over the living holds them all."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_mb(pid: int) -> float:
    """Memory with pages that several processes share counted once."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 1_000_000


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def postmaster_pid() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        parent = psutil.Process(cursor.fetchone()[0]).parent()
    assert parent is not None
    return parent.pid


def percentiles_ms(seconds: Sequence[float]) -> Case:
    ranked = sorted(seconds)
    return {
        f"p{percent}_ms": round(1000 * ranked[min(len(ranked) * percent // 100, len(ranked) - 1)], 1)
        for percent in (50, 95)
    }


def wait_until(reached: Callable[[], bool], *, patience_s: float, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + patience_s
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not reached within {patience_s:.0f} s; see the logs in .data")
        time.sleep(every_s)
