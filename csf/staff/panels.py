"""What an app adds to the pages and the list of a model of a lower app."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse

from csf.staff.columns import link
from csf.state import StatefulModel
from csf.templatetags.csf_format import moment


@dataclass(frozen=True)
class Panel:
    """A read-only table below the form of a row."""

    title: str
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    lines: Sequence[tuple[str, object]] = ()
    """Facts above the table, where an action is decided by more than a table."""

    def table(self) -> dict[str, object]:
        rows = [["-" if cell in (None, "") else cell for cell in row] for row in self.rows]
        return {"headers": self.headers, "rows": rows}


panels_of: dict[type[models.Model], list[tuple[str, Callable[[Any], Panel]]]] = defaultdict(list)


def panel(
    model: type[models.Model], *, permission: str
) -> Callable[[Callable[[Any], Panel]], Callable[[Any], Panel]]:
    """Adds a panel to the model's page, for those with the permission.

    So an order's page shows its payments and emails although `orders` knows nothing about either.
    """

    def add(make: Callable[[Any], Panel]) -> Callable[[Any], Panel]:
        panels_of[model].append((permission, make))
        return make

    return add


@dataclass(frozen=True)
class Button:
    """A link above the form of a row, to something that can be done with it."""

    title: str
    url: str


ButtonMaker = Callable[[HttpRequest, Any], list[Button]]
buttons_of: dict[type[models.Model], list[ButtonMaker]] = defaultdict(list)


def row_buttons(model: type[models.Model]) -> Callable[[ButtonMaker], ButtonMaker]:
    """Adds buttons to the model's page, as `panel` adds a panel."""

    def add(make: ButtonMaker) -> ButtonMaker:
        buttons_of[model].append(make)
        return make

    return add


RowView = Callable[..., HttpResponse]
pages_of: dict[type[models.Model], list[tuple[str, RowView, str]]] = defaultdict(list)


def row_page(model: type[models.Model], route: str, view: RowView, *, name: str) -> None:
    """Adds a page below that of a row of the model: the route begins with the row's key."""
    pages_of[model].append((route, view, name))


ListAct = Callable[[Any, HttpRequest, models.QuerySet[Any]], HttpResponse | None]
actions_of: dict[type[models.Model], list[tuple[str, str, ListAct]]] = defaultdict(list)


def list_action(model: type[models.Model], *, title: str, permission: str) -> Callable[[ListAct], ListAct]:
    """Adds an action to the model's list, as `panel` adds a panel to its page."""

    def add(act: ListAct) -> ListAct:
        actions_of[model].append((permission, title, act))
        return act

    return add


def history(obj: StatefulModel, title: str = "Changes of status") -> Panel:
    """Each change of state, with the person and the reason."""
    labels = dict(type(obj).status.field.choices)
    rows = [
        (
            moment(row.created_at),
            f"{labels.get(row.from_status, row.from_status)} → {labels.get(row.to_status, row.to_status)}",
            link(row.by) if row.by else "system",
            row.reason,
        )
        for row in obj.transitions.select_related("by")
    ]
    return Panel(title, ["When", "Change", "Who", "Why"], rows)
