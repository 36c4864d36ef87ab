"""Buttons on the page of a row: each leads to a page that shows the facts, asks, and does one thing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from allauth.account.decorators import reauthentication_required
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from csf.forms.submit_once import AGAIN, PressedAgain, new_press, once
from csf.refusal import NotPossible
from csf.staff.panels import Button, Panel, row_buttons, row_page
from csf.staff.reason_form import ActionForm, ChoiceForm, ReasonForm
from csf.state import Stale

CHANGED = "Something has changed since you opened this page. Check the facts again."


class Facts(Protocol):
    """A row as staff see it before they decide."""

    @property
    def row(self) -> models.Model: ...

    @property
    def fingerprint(self) -> str:
        """What the person looked at; a form that comes back with another is out of date."""

    @property
    def words(self) -> dict[str, Any]:
        """For the text of the form's button."""

    def panel(self) -> Panel: ...


def always(facts: Any) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Action:
    """A button. `act` takes the facts' row under `argument`, who, and what the form's `arguments` gives."""

    name: str
    title: str
    permission: str
    argument: str
    act: Callable[..., Any]
    confirm: str
    """The text of the form's button, with the facts' words."""
    meaning: str
    """What it does; this and `done` may have the facts' words too."""
    done: str | Callable[[Any], str]
    """Or what to say about what `act` returned."""
    email: str = ""
    """What the family gets by email, in a sentence; empty if the act sends none."""
    form: type[ActionForm] = ReasonForm
    choice: type[ChoiceForm] | None = None
    """Asked first; `form` then comes with the facts of what was chosen."""
    is_possible: Callable[[Any], bool] = always
    is_ready: Callable[[Any], bool] = always
    """Otherwise the page only shows what is missing."""
    needs_fresh_sign_in: bool = False
    lands_on: Callable[[Any], models.Model] | None = None
    """Whose page the facts' row leads to once it is done; None: its own."""

    def is_allowed(self, request: HttpRequest) -> bool:
        return request.user.has_perm(self.permission)


@dataclass(frozen=True)
class Actions:
    """What staff may do on the pages of one model."""

    model: type[models.Model]
    facts_of: Callable[[int], Any]
    table: Sequence[Action]
    notified: Callable[[Any, str], str] | None = None
    """Says who gets the email of an act about a row, if any of the acts sends one."""
    slug: str = "act"
    """In the address, which tells these acts from the others on the same model."""

    def __post_init__(self) -> None:
        row_buttons(self.model)(self.buttons)
        row_page(self.model, f"<int:pk>/{self.slug}/<slug:name>/", self.view, name=self.url_name)

    @property
    def url_name(self) -> str:
        return f"{self.model._meta.app_label}_{self.model._meta.model_name}_{self.slug}"

    def address(self, row: models.Model, name: str) -> str:
        return reverse(f"admin:{self.url_name}", args=[row.pk, name])

    def buttons(self, request: HttpRequest, row: models.Model) -> list[Button]:
        allowed = [action for action in self.table if action.is_allowed(request)]
        facts = self.facts_of(row.pk) if allowed else None
        return [
            Button(action.title, self.address(row, action.name))
            for action in allowed
            if action.is_possible(facts)
        ]

    def view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        action = next((action for action in self.table if action.name == name), None)
        if action is None:
            raise Http404
        can_view = request.user.has_perm(f"{self.model._meta.app_label}.view_{self.model._meta.model_name}")
        if not can_view or not action.is_allowed(request):
            raise PermissionDenied
        answer: Callable[..., HttpResponse] = self._answer
        if action.needs_fresh_sign_in:
            answer = reauthentication_required(answer)
        try:
            return answer(request, pk, action)
        except NotPossible as refusal:  # of what was chosen
            messages.error(request, refusal.message)
            return redirect(request.path)

    def _answer(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        """The form of one action, and what it does."""
        facts = of_row = self.facts_of(pk)
        page, name = _page_of(of_row.row), self.model._meta.verbose_name
        if request.method != "POST" and not action.is_possible(of_row):
            messages.error(request, f"{action.title}: not possible for this {name} now.")
            return redirect(page)
        if action.choice:
            choice = action.choice(request.GET or None, facts=of_row)
            if not choice.is_valid():
                return self._ask(request, action, of_row, choice)
            facts = choice.chosen()
        form = action.form(request.POST if request.method == "POST" else None, facts=facts)
        if form.is_valid():
            try:
                return redirect(self._do(action, facts, form, request))
            except NotPossible as why:
                form.add_error(None, why.message)
            facts = choice.chosen() if action.choice else self.facts_of(pk)
        return confirm_page(
            request,
            facts.row,
            title=action.title,
            meaning=action.meaning.format(**facts.words),
            notified=self._notified(action, facts),
            facts=facts,
            form=form,
            confirm=action.confirm.format(**facts.words) if action.is_ready(facts) else "",
            back=request.path if action.choice else page,
        )

    def _ask(self, request: HttpRequest, action: Action, facts: Any, choice: ChoiceForm) -> HttpResponse:
        context = {
            **_context(request, facts.row),
            "title": action.title,
            "meaning": action.meaning.format(**facts.words),
            "panel": choice.panel(),
            "form": choice,
            "back": _page_of(facts.row),
        }
        return TemplateResponse(request, "admin/choose.html", context)

    def _notified(self, action: Action, facts: Any) -> str:
        return self.notified(facts.row, action.email) if action.email and self.notified else ""

    def _do(self, action: Action, facts: Any, form: Any, request: HttpRequest) -> str:
        """The page that it leads to. Raises NotPossible."""
        if request.POST.get("fingerprint") != facts.fingerprint:
            raise NotPossible(CHANGED)
        try:
            with once(request):
                result = action.act(**{action.argument: facts.row}, by=request.user, **form.arguments())
        except Stale as lost:
            raise NotPossible(CHANGED) from lost
        except PressedAgain as again:
            raise NotPossible(AGAIN) from again
        done = action.done.format(**facts.words) if isinstance(action.done, str) else action.done(result)
        messages.success(request, f"{done} {self._notified(action, facts)}".strip())
        return _page_of(action.lands_on(facts) if action.lands_on else facts.row)


def confirm_page(request: HttpRequest, row: models.Model, *, facts: Any, **shown: Any) -> HttpResponse:
    """Shows `facts`, asks `form`, and has a button `confirm`, unless it is empty, and a way `back`."""
    context = {
        **_context(request, row),
        "facts": facts,
        "panel": facts.panel(),
        "press": new_press(),
        "typed": (),
        **shown,
    }
    return TemplateResponse(request, "admin/action.html", context)


def _context(request: HttpRequest, row: models.Model) -> dict[str, Any]:
    return {**admin.site.each_context(request), "opts": row._meta, "original": row}


def _page_of(row: models.Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
