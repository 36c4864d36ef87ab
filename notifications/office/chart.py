"""The chart of the figures: bars of what became of the emails of each day, as shapes for an SVG."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from notifications.office.figures import Row

WIDTH, HEIGHT = 1000, 200  # of the drawing, which is stretched to the page
GAP = 0.2  # of a day's width
# From the bottom of a bar to its top: title, style and the columns that it adds up.
PARTS = [
    ("Delivered", "figures-delivered", ["delivered"]),
    ("Accepted, outcome not known yet", "figures-taken", ["taken"]),
    (
        "Failed",
        "figures-wrong",
        ["bounced", "dropped", "complained", "unknown", "failed"],
    ),
    ("Not sent", "figures-unsent", ["waiting", "suppressed", "expired", "withheld"]),
]


@dataclass(frozen=True)
class Shape:
    """Numbers as SVG writes them, whatever the language."""

    style: str
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True)
class Bar:
    on: datetime.date
    words: str
    shapes: list[Shape]


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    most: int
    """Emails of the fullest day, as high as the drawing."""

    @property
    def legend(self) -> list[tuple[str, str]]:
        return [(title, style) for title, style, _ in PARTS]


def chart(days: Sequence[Row]) -> Chart:
    most = max((row.counts["written"] for row in days), default=0)
    step = WIDTH / max(len(days), 1)
    return Chart([_bar(row, index * step, step, most or 1) for index, row in enumerate(days)], most)


def _bar(row: Row, left: float, step: float, most: int) -> Bar:
    counts = row.counts | {"taken": _no_word_yet(row)}
    shapes, words, top = [], [], float(HEIGHT)
    for title, style, names in PARTS:
        count = sum(counts[name] for name in names)
        if not count:
            continue
        height = HEIGHT * count / most
        top -= height
        numbers = [left + step * GAP / 2, top, step * (1 - GAP), height]
        shapes.append(Shape(style, *[f"{number:.2f}" for number in numbers]))
        words.append(f"{title.lower()} {count}")
    assert row.on
    return Bar(row.on, ", ".join(words), shapes)


def _no_word_yet(row: Row) -> int:
    """Each email is in one state: the rest of the written ones are those that the provider took."""
    return row.counts["written"] - sum(
        row.counts[name] for name in row.counts if name not in {"written", "sent"}
    )
