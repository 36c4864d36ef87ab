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
from django.urls import URLPattern, path, reverse

from csf.forms.submit_once import AGAIN, PressedAgain, new_press, once
from csf.refusal import NotPossible
from csf.staff.model_admin import ModelAdmin
from csf.staff.panels import Button, Panel, row_buttons
from csf.staff.reason_form import FactsForm, ReasonForm
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
    done: str
    email: str = ""
    """What the family gets by email, in a sentence; empty if the act sends none."""
    form: type[ReasonForm] = ReasonForm
    is_possible: Callable[[Any], bool] = always
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
    """In the address, which tells these acts from those of another app on the same model."""

    def __post_init__(self) -> None:
        row_buttons(self.model)(self.buttons)

    @property
    def url_name(self) -> str:
        return f"{self.model._meta.app_label}_{self.model._meta.model_name}_{self.slug}"

    def buttons(self, request: HttpRequest, row: models.Model) -> list[Button]:
        allowed = [action for action in self.table if action.is_allowed(request)]
        facts = self.facts_of(row.pk) if allowed else None
        return [
            Button(action.title, reverse(f"admin:{self.url_name}", args=[row.pk, action.name]))
            for action in allowed
            if action.is_possible(facts)
        ]

    def path(self, host: ModelAdmin) -> URLPattern:
        """For the urls of an admin; that of another model if the rows' own admin belongs to a lower app."""
        prefix = "" if host.model is self.model else f"{self.model._meta.model_name}/"
        view = host.admin_site.admin_view(self.view)
        found: URLPattern = path(f"{prefix}<int:pk>/{self.slug}/<slug:name>/", view, name=self.url_name)
        return found

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
        return answer(request, pk, action)

    def _answer(self, request: HttpRequest, pk: int, action: Action) -> HttpResponse:
        """The form of one action, and what it does."""
        facts, name = self.facts_of(pk), self.model._meta.verbose_name
        page = _page_of(facts.row)
        if request.method != "POST" and not action.is_possible(facts):
            messages.error(request, f"{action.title}: not possible for this {name} now.")
            return redirect(page)
        form = _form(action, facts, request.POST if request.method == "POST" else None)
        if form.is_valid():
            if why_not := self._do(action, facts, form, request):
                form.add_error(None, why_not)
                facts = self.facts_of(pk)
            else:
                done = f"{action.done.format(**facts.words)} {self._notified(action, facts)}"
                messages.success(request, done.strip())
                return redirect(_page_of(action.lands_on(facts)) if action.lands_on else page)
        context = {
            **admin.site.each_context(request),
            "opts": self.model._meta,
            "original": facts.row,
            "title": action.title,
            "action": action,
            "confirm": action.confirm.format(**facts.words),
            "meaning": action.meaning.format(**facts.words),
            "notified": self._notified(action, facts),
            "facts": facts,
            "form": form,
            "press": new_press(),
            "back": page,
        }
        return TemplateResponse(request, "admin/action.html", context)

    def _notified(self, action: Action, facts: Any) -> str:
        return self.notified(facts.row, action.email) if action.email and self.notified else ""

    def _do(self, action: Action, facts: Any, form: Any, request: HttpRequest) -> str:
        """Why it was not done; empty if it was."""
        if request.POST.get("fingerprint") != facts.fingerprint:
            return CHANGED
        try:
            with once(request):
                action.act(**{action.argument: facts.row}, by=request.user, **form.arguments())
        except NotPossible as refusal:
            return refusal.message
        except Stale:
            return CHANGED
        except PressedAgain:
            return AGAIN
        return ""


def _page_of(row: models.Model) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _form(action: Action, facts: Any, data: Any) -> Any:
    """A form that offers what the facts allow takes them as `facts`."""
    if issubclass(action.form, FactsForm):
        return action.form(data, facts=facts)
    return action.form(data)
