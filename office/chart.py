"""Bars of a number for each day, in parts from the bottom up, as shapes for an SVG."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 200  # of the drawing, which is stretched to the page
GAP = 0.2  # of a day's width


@dataclass(frozen=True)
class Part:
    title: str
    style: str
    """The class of its shapes in the stylesheet."""


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
    parts: Sequence[Part]
    bars: list[Bar]
    most: int
    """Of the fullest day, as high as the drawing."""


def chart(parts: Sequence[Part], days: Sequence[tuple[datetime.date, Sequence[int]]]) -> Chart:
    """Each day with a count for each part."""
    most = max((sum(counts) for _, counts in days), default=0)
    step = WIDTH / max(len(days), 1)
    bars = [
        _bar(on, list(zip(parts, counts, strict=True)), number * step, step, most or 1)
        for number, (on, counts) in enumerate(days)
    ]
    return Chart(parts, bars, most)


def _bar(on: datetime.date, counted: Sequence[tuple[Part, int]], left: float, step: float, most: int) -> Bar:
    shapes, words, top = [], [], float(HEIGHT)
    for part, count in counted:
        if not count:
            continue
        height = HEIGHT * count / most
        top -= height
        numbers = [left + step * GAP / 2, top, step * (1 - GAP), height]
        shapes.append(Shape(part.style, *[f"{number:.2f}" for number in numbers]))
        words.append(f"{part.title.lower()} {count}")
    return Bar(on, ", ".join(words), shapes)
