"""Writing to the families of classes: the form, its preview, the confirmation, and the result."""

from collections import defaultdict
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from csf.staff.columns import badge, link, preformatted
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.pages import staff_page
from csf.staff.panels import Button, Panel, list_action, panel, row_buttons
from csf.state import Stale
from csf.templatetags.csf_format import moment
from enrollments.models import Course, Enrollment, Household, Program, User
from notifications.admin.frames import frame
from notifications.admin.message_forms import ConfirmForm, MessageForm, blank, initial_of
from notifications.by_staff.broadcast import AlreadySent, Changed, Reach, reach_of, send
from notifications.by_staff.redact_links import redacted
from notifications.facts.audience import left_out
from notifications.facts.family_messages import message_facts
from notifications.models import UNFINISHED, EmailMessage, EmailStatus, FamilyMessage, FamilyMessageLine
from notifications.models.messages import Seats
from notifications.preferences.rules import footer_links
from notifications.rendering.render import Rendered, render

MAY_WRITE = "notifications.add_familymessage"
NAMES_SHOWN = 20
LINES_PER_PAGE = 100
CLASSES_NAMED = 10
RELOAD_S = 4
SENT_BEFORE = "This message has already been sent. It was not sent again."


# --- Ways in ------------------------------------------------------------------------------------------------


@row_buttons(Course)
def course_buttons(request: HttpRequest, course: Course) -> list[Button]:
    if not request.user.has_perm(MAY_WRITE):
        return []
    return [Button("Message the families", f"{reverse('admin:message_families')}?course={course.pk}")]


@list_action(Course, title="Message the families of these classes", permission=MAY_WRITE)
def message_classes(modeladmin: Any, request: HttpRequest, rows: Any) -> HttpResponse:
    courses = list(rows.order_by("pk").values_list("pk", flat=True))
    return _begin(request, {"courses": courses, "program": None, "seats": [Seats.ACTIVE]})


@list_action(Enrollment, title="Message these families", permission=MAY_WRITE)
def message_enrollments(modeladmin: Any, request: HttpRequest, rows: Any) -> HttpResponse:
    picked = list(rows.order_by("pk").values_list("pk", flat=True))
    return _begin(request, {"enrollments": picked, "seats": list(Seats)})


def _begin(request: HttpRequest, audience: dict[str, Any]) -> HttpResponse:
    """A draft without words: a selection may be too long for an address."""
    draft = FamilyMessage.objects.create(kind="class_message", audience=audience, by=_user(request))
    return redirect(_form_address(draft))


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _form_address(draft: FamilyMessage) -> str:
    return f"{reverse('admin:message_families')}?draft={draft.pk}"


def _address(message: FamilyMessage) -> str:
    return reverse("admin:notifications_familymessage_change", args=[message.pk])


# --- The form -----------------------------------------------------------------------------------------------


@staff_page(
    "message_families", title="Message families", icon="campaign", group="Email", permission=MAY_WRITE
)
def message_families(request: HttpRequest) -> HttpResponse:
    """Saves a draft and leads to its preview."""
    draft = _draft(request)
    if draft and draft.confirmed_at:
        messages.info(request, SENT_BEFORE)
        return redirect(_address(draft))
    sent = request.POST if request.method == "POST" else None
    course = request.GET.get("course", "")
    initial = initial_of(draft) if draft else blank([int(course)] if course.isdecimal() else [])
    form = MessageForm(sent, draft=draft, initial=initial)
    if form.is_valid():
        return redirect(_address(_saved(draft, form, request)))
    context = {
        **admin.site.each_context(request),
        "title": "Message families",
        "form": form,
        "picked": len(form.picked),
        "media": form.media,
    }
    return TemplateResponse(request, "admin/notifications/message_form.html", context)


def _draft(request: HttpRequest) -> FamilyMessage | None:
    """The one that the form was opened with, or that it wrote when it was sent before."""
    own = FamilyMessage.objects.filter(by=_user(request))
    if request.method == "POST":
        try:
            return own.filter(public_id=UUID(request.POST.get("public_id", ""))).first()
        except ValueError:
            return None
    pk = request.GET.get("draft", "")
    return own.filter(pk=pk).first() if pk.isdecimal() else None


def _saved(draft: FamilyMessage | None, form: MessageForm, request: HttpRequest) -> FamilyMessage:
    if draft is None:
        draft, is_new = FamilyMessage.objects.get_or_create(
            public_id=form.cleaned_data["public_id"], by=_user(request), defaults=form.values
        )
        if is_new:
            return draft
    try:
        draft.change(**form.values)
    except Stale:
        messages.info(request, SENT_BEFORE)
    return draft


# --- Preview, confirmation and result -----------------------------------------------------------------------


@admin.register(FamilyMessage)
class FamilyMessageAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "subject", "kind", "by", "families", "confirmed_at"]
    list_filter = ["kind", ("confirmed_at", admin.EmptyFieldListFilter)]
    list_select_related = ["by"]
    list_defer = ["body"]
    search_fields = ["subject", "body"]
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(number_of_families=Count("lines"))

    @admin.display(description="families")
    def families(self, message: Any) -> int | str:
        return message.number_of_families if message.confirmed_at else "not sent"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        if message is None:
            raise Http404
        is_own = message.by_id == request.user.pk and request.user.has_perm(MAY_WRITE)
        if not is_own and not self.has_view_permission(request, message):
            raise PermissionDenied
        if message.confirmed_at:
            if request.method == "POST":
                messages.info(request, SENT_BEFORE)
                return redirect(_address(message))
            return self._page(request, message, "message.html", _result(request, message))
        return self._preview(request, message, may_send=is_own)

    def _preview(self, request: HttpRequest, message: FamilyMessage, *, may_send: bool) -> HttpResponse:
        if request.method == "POST" and not may_send:
            raise PermissionDenied
        reach = reach_of(message)
        sent = request.POST if request.method == "POST" else None
        form = ConfirmForm(sent, families=len(reach.reached), initial={"fingerprint": reach.fingerprint})
        why_not = ""
        if form.is_valid():
            why_not = _send(request, message, form)
            if not why_not:
                return redirect(_address(message))
            reach = reach_of(message)
            form = ConfirmForm(families=len(reach.reached), initial={"fingerprint": reach.fingerprint})
        shown = _facts(message) | _preview(message, reach) | {"form": form, "why_not": why_not}
        return self._page(request, message, "message_preview.html", shown | {"may_send": may_send})

    def _page(
        self, request: HttpRequest, message: FamilyMessage, template: str, shown: dict[str, Any]
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **shown,
            "opts": self.opts,
            "title": str(message),
            "letter": message,
        }
        return TemplateResponse(request, f"admin/notifications/{template}", context)


def _send(request: HttpRequest, message: FamilyMessage, form: ConfirmForm) -> str:
    """Why it was not sent; empty if it was, now or before."""
    try:
        send(message=message, by=_user(request), fingerprint=form.cleaned_data["fingerprint"])
    except AlreadySent:
        messages.info(request, SENT_BEFORE)
    except Changed:
        return "The families or the text have changed since you saw them. Please check them again."
    return ""


def _facts(message: FamilyMessage) -> dict[str, Any]:
    """Whom it is for, in words."""
    audience = message.audience
    courses = Course.objects.filter(pk__in=audience.get("courses") or []).order_by("title", "pk")
    return {
        "picked": len(audience.get("enrollments", [])),
        "courses": [link(course) for course in courses[:CLASSES_NAMED]],
        "more_courses": max(len(audience.get("courses") or []) - CLASSES_NAMED, 0),
        "program": Program.objects.filter(pk=audience.get("program") or 0).first(),
        "seats": [Seats(name).label for name in audience["seats"]],
    }


def _preview(message: FamilyMessage, reach: Reach) -> dict[str, Any]:
    mail = _rendered(message, reach)
    return {
        "reach": reach,
        "left_out": left_out(message.audience),
        "names": [(link(family.household), family.people) for family in reach.reached[:NAMES_SHOWN]],
        "more_names": max(len(reach.reached) - NAMES_SHOWN, 0),
        "subject": mail.subject,
        "frame": frame(mail.html),
        "text": preformatted(redacted(mail.text)),
        "change": _form_address(message),
        "needs_words": not message.subject or not message.body,
    }


def _rendered(message: FamilyMessage, reach: Reach) -> Rendered:
    """As the first of them would get it."""
    family = next(iter(reach.reached), None)
    facts = message_facts(message.subject, message.body, family.classes if family else [])
    row = EmailMessage(kind=message.kind, context=facts | {"first_name": ""})
    if family:
        row.recipient, row.to = family.people[0], family.people[0].email
        row.context["first_name"] = family.people[0].first_name
    return render(message.kind, row.context | footer_links(row))


def _result(request: HttpRequest, message: FamilyMessage) -> dict[str, Any]:
    """The progress, and the emails of each family."""
    emails = EmailMessage.objects.filter(dedupe_key__startswith=f"{message.kind}:message:{message.pk}:")
    counts = dict(emails.order_by().values_list("status").annotate(Count("pk")))
    lines = message.lines.select_related("household").order_by("household__name", "pk")
    page = Paginator(lines, LINES_PER_PAGE).get_page(request.GET.get("page"))
    of_line = defaultdict(list)
    shown = emails.filter(fact_id__in=[line.pk for line in page]).order_by("pk")
    for email in shown.only("kind", "to", "status", "fact_id"):
        of_line[email.fact_id].append(
            (link(email, email.to), badge(email.status, email.get_status_display()))
        )
    reached = emails.order_by().values("fact_id").distinct().count()
    is_under_way = any(counts.get(status) for status in UNFINISHED)
    return _facts(message) | {
        "page": page,
        "rows": [(line, of_line[line.pk]) for line in page],
        "states": [(badge(state, EmailStatus(state).label), counts[state]) for state in sorted(counts)],
        "reached": reached,
        "skipped": page.paginator.count - reached,
        "emails": sum(counts.values()),
        "body": preformatted(message.body),
        "reload_s": RELOAD_S if is_under_way else None,
    }


@admin.register(FamilyMessageLine)
class FamilyMessageLineAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "message", "household", "skipped"]
    list_select_related = ["message", "household"]
    search_fields = ["message__subject", "household__name", "skipped"]
    ordering = ["-pk"]


@panel(Course, permission="notifications.view_familymessage")
def course_messages(course: Course) -> Panel:
    sent = FamilyMessage.objects.filter(audience__courses__contains=course.pk, confirmed_at__isnull=False)
    return _messages(sent)


@panel(Household, permission="notifications.view_familymessage")
def family_messages(family: Household) -> Panel:
    return _messages(FamilyMessage.objects.filter(lines__household=family))


def _messages(rows: Any) -> Panel:
    return Panel(
        "Messages from the office",
        ["Sent", "Subject", "Kind", "By"],
        [
            (moment(row.confirmed_at), link(row), row.get_kind_display(), link(row.by))
            for row in rows.select_related("by").order_by("-pk")[:NAMES_SHOWN]
        ],
    )
