"""What is measured: wall clock, CPU of a tree of processes and of PostgreSQL, memory, percentiles."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from django.db import connection
from django.db.backends.signals import connection_created

Case = dict[str, Any]
PSS_EVERY_S = 0.5  # reading the memory map costs a millisecond or two for each process


@dataclass
class Meter:
    """The measured span. CPU is user and system time, with that of children that have ended."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    db_cpu_s: float = 0.0
    apart_cpu_s: float = 0.0
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

    def watch_memory(self, pid: int, apart: int | None) -> None:
        while not self._stop.wait(PSS_EVERY_S):
            self.peak_pss_mb = max(self.peak_pss_mb, pss_mb(pid, apart=apart))


@contextmanager
def measured(
    pid: int, *, starting: Callable[[], None] = lambda: None, apart: int | None = None
) -> Iterator[Meter]:
    """Measure the process `pid` with its descendants, and PostgreSQL, from the return of `starting`, which
    gives them their work, until the block ends. `apart` is a stand-in, descendant or not, that counts by
    itself."""
    meter = Meter(peak_pss_mb=pss_mb(pid, apart=apart))
    database = postmaster_pid()
    watcher = threading.Thread(target=meter.watch_memory, args=[pid, apart], daemon=True)
    watcher.start()
    cpu_s = tree_cpu_s(pid, apart=apart)
    apart_cpu_s = tree_cpu_s(apart) if apart else 0.0
    starting()
    db_cpu_s, started = tree_cpu_s(database), time.monotonic()
    try:
        yield meter
        meter.seconds = time.monotonic() - started
        meter.cpu_s = tree_cpu_s(pid, apart=apart) - cpu_s
        meter.apart_cpu_s = tree_cpu_s(apart) - apart_cpu_s if apart else 0.0
        meter.db_cpu_s = tree_cpu_s(database) - db_cpu_s
    finally:
        meter._stop.set()
        watcher.join()


class Statements:
    """How many were sent, over all threads; BEGIN and COMMIT are not among them."""

    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def __call__(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        with self._lock:
            self.count += 1
        return execute(*arguments)

    def watch(self, connection: Any, **kwargs: Any) -> None:
        if self not in connection.execute_wrappers:  # they outlive a reconnect
            connection.execute_wrappers.append(self)


@contextmanager
def counted_statements() -> Iterator[Statements]:
    """Of this process, on connections that threads open meanwhile too."""
    statements = Statements()
    with connection.execute_wrapper(statements):
        connection_created.connect(statements.watch)
        try:
            yield statements
        finally:
            connection_created.disconnect(statements.watch)


def tree_cpu_s(pid: int, *, apart: int | None = None) -> float:
    """A process counts its ended children, so the sum over the living holds them all."""
    total = 0.0
    for process in _tree(pid, apart):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def pss_mb(pid: int, *, apart: int | None = None) -> float:
    """Memory with pages that several processes share counted once."""
    total = 0
    for process in _tree(pid, apart):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += process.memory_full_info().pss
    return total / 1_000_000


def _tree(pid: int, apart: int | None = None) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *(child for child in root.children(recursive=True) if child.pid != apart)]


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
