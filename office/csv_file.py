import csv
import io
from collections.abc import Iterable
from typing import Any

from django.http import HttpResponse


def csv_file(name: str, lines: Iterable[list[Any]]) -> HttpResponse:
    """A download for a spreadsheet."""
    text = io.StringIO()
    csv.writer(text).writerows([[_cell(value) for value in line] for line in lines])
    return HttpResponse(
        text.getvalue(),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _cell(value: object) -> object:
    """A spreadsheet would run text that begins like a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value
