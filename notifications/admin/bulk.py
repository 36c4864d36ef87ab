"""Actions on many emails of the list: a page that says what would happen and asks for one reason."""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from csf.staff.reason_form import ReasonForm
from enrollments.models import User
from notifications.by_staff import staff_acts
from notifications.models import EmailMessage

Emails = QuerySet[EmailMessage]


@dataclass(frozen=True)
class BulkAct:
    title: str
    act: Callable[..., int]
    can_be: Callable[[Emails], Emails]
    ask: str
    done: str
    warns: bool = False


ACTS = {
    "withhold_selected": BulkAct(
        title="Withhold emails",
        act=staff_acts.withhold_all,
        can_be=staff_acts.can_be_withheld,
        ask="are queued, and would not be sent until someone releases them",
        done="Emails withheld",
    ),
    "requeue_selected": BulkAct(
        title="Release emails",
        act=staff_acts.requeue_all,
        can_be=staff_acts.can_be_requeued,
        ask="are withheld and still worth sending, and would be queued again",
        done="Emails released",
        warns=True,
    ),
}


def ask_and_do(request: HttpRequest, selected: Emails, name: str) -> HttpResponse | None:
    """For an action of the list. None, which shows the list again, when it is done."""
    act = ACTS[name]
    emails = _seen(request, selected)
    form = ReasonForm(request.POST if "newest" in request.POST else None)
    if form.is_valid():
        assert isinstance(request.user, User)
        count = act.act(emails=emails, by=request.user, reason=form.cleaned_data["reason"])
        messages.success(request, f"{act.done}: {count}.")
        return None
    movable = act.can_be(emails)
    context = {
        **admin.site.each_context(request),
        "opts": EmailMessage._meta,
        "title": act.title,
        "act": act,
        "name": name,
        "form": form,
        "back": reverse("admin:notifications_emailmessage_changelist"),
        "selected": emails.count(),
        "movable": movable.count(),
        "twice": staff_acts.may_have_gone(movable).count() if act.warns else 0,
        "newest": emails.aggregate(newest=Max("pk"))["newest"] or 0,
        "across": request.POST.get("select_across", "0"),
        "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
    }
    return TemplateResponse(request, "admin/notifications/bulk.html", context)


def _seen(request: HttpRequest, selected: Emails) -> Emails:
    """For "all in the list", only those that were there when the page was opened."""
    newest = request.POST.get("newest", "")
    return selected.filter(pk__lte=int(newest)) if newest.isascii() and newest.isdecimal() else selected
