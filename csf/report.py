"""What a job did, in counts and in words: stored with its run, printed by its command, shown by its dry
run."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Skip:
    """A row that a job left alone, and why."""

    subject: str
    reason: str


@dataclass
class Report:
    done: int = 0
    skipped: list[Skip] = field(default_factory=list)
    failed: int = 0

    def skip(self, subject: str, reason: str) -> None:
        self.skipped.append(Skip(subject, reason))

    @property
    def summary_line(self) -> str:
        return f"done={self.done} skipped={len(self.skipped)} failed={self.failed}"

    @property
    def reasons(self) -> Counter[str]:
        return Counter(skip.reason for skip in self.skipped)

    def as_json(self) -> dict[str, Any]:
        skipped = [{"subject": skip.subject, "reason": skip.reason} for skip in self.skipped]
        return {"done": self.done, "failed": self.failed, "skipped": skipped}
