"""What a job did, in counts and in words: stored with its run, printed by its command, shown by its dry
run."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from csf.jobs import time_budget

Item = TypeVar("Item")


class Row(Protocol):
    """What a line is about; the amount is 0 if there is no money in it."""

    @property
    def pk(self) -> Any: ...
    @property
    def amount_cents(self) -> Any: ...


@dataclass(frozen=True)
class Line:
    """A row that a job looked at: skipped for that reason, or to be handled if there is none."""

    subject: str
    row_id: int
    amount_cents: int
    reason: str = ""


@dataclass
class Report:
    done: int = 0
    skipped: list[Line] = field(default_factory=list)
    failed: int = 0
    planned: list[Line] = field(default_factory=list)
    """What a dry run would do; a real run only counts, however much it does."""
    is_cut: bool = False
    """The time was up before the end; the same job, started again, does the rest."""

    def in_time(self, rows: Iterable[Item]) -> Iterator[Item]:
        """The rows of a job, until the time of its task is up."""
        for row in rows:
            if time_budget.is_over():
                self.is_cut = True
                return
            yield row

    def plan(self, subject: str, row: Row) -> None:
        self.planned.append(Line(subject, row.pk, row.amount_cents))
        self.done += 1

    def skip(self, subject: str, row: Row, reason: str) -> None:
        self.skipped.append(Line(subject, row.pk, row.amount_cents, reason))

    @property
    def summary_line(self) -> str:
        return f"done={self.done} skipped={len(self.skipped)} failed={self.failed}"

    @property
    def reasons(self) -> Counter[str]:
        return Counter(line.reason for line in self.skipped)

    def as_json(self) -> dict[str, Any]:
        skipped = [{"subject": line.subject, "reason": line.reason} for line in self.skipped]
        return {"done": self.done, "failed": self.failed, "skipped": skipped}
