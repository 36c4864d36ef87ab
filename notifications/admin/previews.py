"""Every kind of email as it looks now: from samples, or from the facts of a real order; and sending a test to
oneself."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from typing import Any, Literal
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from csf.refusal import NotPossible
from csf.staff.columns import preformatted
from csf.staff.pages import staff_page
from csf.web.fast_reverse import path_to
from enrollments.models import User
from notifications.admin.frames import frame
from notifications.by_staff.redact_links import DOTS, redacted, redacted_facts
from notifications.by_staff.staff_acts import send_test
from notifications.models import EmailMessage
from notifications.preferences.rules import CHOICES, footer_links
from notifications.registry import EMAILS
from notifications.rendering.render import render as render_email
from notifications.sending.compose import outgoing
from orders.models import Order

logger = logging.getLogger(__name__)

MAY_TEST = "notifications.test_emailmessage"
MAY_READ_ORDERS = ("notifications.read_emailmessage", "orders.view_order")
USUAL = "typical"
WIDTHS = {"phone": 320, "desktop": 600}
KINDS = list(EMAILS)
Facts = dict[str, Any]


class AskedForm(forms.Form):
    kind = forms.TypedChoiceField(
        choices=[(kind, email.title) for kind, email in EMAILS.items()],
        coerce=str,
        empty_value=KINDS[0],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    order = forms.SlugField(
        required=False,
        max_length=20,
        label="Order number, or empty for samples",
        widget=UnfoldAdminTextInputWidget,
    )
    sample = forms.CharField(required=False, max_length=60, widget=forms.HiddenInput)
    colours = forms.ChoiceField(
        required=False, choices=[("light", "light"), ("dark", "dark")], widget=forms.HiddenInput
    )
    width = forms.ChoiceField(
        required=False, choices=[(name, name) for name in WIDTHS], widget=forms.HiddenInput
    )


@dataclass(frozen=True)
class Asked:
    kind: str
    sample: str
    order: str
    colours: Literal["light", "dark"]
    width: str

    @classmethod
    def of(cls, cleaned: dict[str, Any]) -> "Asked":
        """A sample that this kind does not have is the usual one."""
        kind = cleaned["kind"]
        sample = cleaned["sample"] if cleaned["sample"] in EMAILS[kind].samples else USUAL
        colours: Literal["light", "dark"] = "dark" if cleaned["colours"] == "dark" else "light"
        return cls(kind, sample, cleaned["order"].upper(), colours, cleaned["width"] or "desktop")

    def query(self, **changes: str) -> str:
        values = {
            "kind": self.kind,
            "sample": self.sample,
            "order": self.order,
            "colours": self.colours,
            "width": self.width,
        }
        return "?" + urlencode({name: value for name, value in (values | changes).items() if value})

    def links(self, name: str, choices: Sequence[str]) -> list[tuple[str, str, bool]]:
        return [
            (choice.replace("_", " "), self.query(**{name: choice}), getattr(self, name) == choice)
            for choice in choices
        ]


@dataclass(frozen=True)
class Preview:
    why_not: str = ""
    subject: str = ""
    headers: Sequence[tuple[str, str]] = ()
    files: Sequence[str] = ()
    frame: SafeString | str = ""
    text: SafeString | str = ""


@dataclass(frozen=True)
class Source:
    """What an email would say, and to whom; or why there is none."""

    facts: Facts = field(default_factory=dict)
    reader: User | None = None
    why_not: str = ""


@staff_page(
    "email_previews",
    title="What emails look like",
    icon="preview",
    group="Email",
    permission="notifications.view_emailmessage",
)
def email_previews(request: HttpRequest) -> HttpResponse:
    sent = request.method == "POST"
    form = AskedForm(request.POST if sent else request.GET)
    if not form.is_valid():
        context = {"form": form, "title": "What emails look like"}
        context |= admin.site.each_context(request)
        return render(request, "admin/notifications/previews.html", context, status=400)
    asked = Asked.of(form.cleaned_data)
    may_read_orders = request.user.has_perms(MAY_READ_ORDERS)
    if asked.order and not may_read_orders:
        raise PermissionDenied
    source = _from_order(asked) if asked.order else Source(EMAILS[asked.kind].samples[asked.sample])
    if sent:
        return _send_test(request, asked, source)
    shown = AskedForm(initial=vars(asked))
    if not may_read_orders:
        del shown.fields["order"]
    context = admin.site.each_context(request) | {
        "title": "What emails look like",
        "form": shown,
        "asked": asked,
        "samples": asked.links("sample", list(EMAILS[asked.kind].samples)),
        "colours": asked.links("colours", ["light", "dark"]),
        "widths": asked.links("width", list(WIDTHS)),
        "from_samples": asked.query(order=""),
        "look": _preview(asked, source),
        "may_test": request.user.has_perm(MAY_TEST),
        "key": uuid.uuid4(),
    }
    return render(request, "admin/notifications/previews.html", context)


# --- What it would say --------------------------------------------------------------------------------------


def _from_order(asked: Asked) -> Source:
    """From the order's newest fact of this kind, as things stand now."""
    if not EMAILS[asked.kind].is_about_orders:
        return Source(why_not="This kind is not about an order, so it is only shown from samples.")
    order = Order.objects.filter(number=asked.order).first()
    if order is None:
        return Source(why_not="There is no order with this number.")
    spec = EMAILS[asked.kind]
    try:
        with transaction.atomic():
            fact = spec.newest_fact(order)
            if fact is None:
                return Source(why_not="Nothing has happened to this order that this email would be about.")
            reader = next(iter(spec.recipients(fact)), None)
            name = reader.first_name if reader else ""
            return Source(spec.snapshot(fact) | {"first_name": name}, reader)
    except Exception as error:
        logger.exception("no preview of %s for order %s", asked.kind, order.pk)
        return Source(
            why_not=f"This email cannot be made from the order's facts now ({type(error).__name__})."
        )


def _preview(asked: Asked, source: Source) -> Preview:
    if source.why_not:
        return Preview(why_not=source.why_not)
    row = EmailMessage(
        kind=asked.kind, context=source.facts, recipient=source.reader, to="family@example.org"
    )
    if source.reader:
        row.to = source.reader.email
    links = footer_links(row) if source.reader else _sample_links(asked.kind)
    try:
        parts = render_email(asked.kind, links | source.facts)
        row.subject, row.html, row.text = parts.subject, parts.html, parts.text
        message = outgoing(row)
        headers = [(name, redacted(_words(value))) for name, value in message.message().items()]
    except Exception as error:
        logger.exception("cannot show %s", asked.kind)
        return Preview(why_not=f"It cannot be rendered: {type(error).__name__}: {error}")
    return Preview(
        subject=parts.subject,
        headers=[(name, value) for name, value in headers if name not in {"Content-Type", "MIME-Version"}],
        files=[str(file[0]) for file in message.attachments],
        frame=frame(parts.html, colours=asked.colours, width_px=WIDTHS[asked.width]),
        text=preformatted(redacted(parts.text)),
    )


def _words(value: object) -> str:
    """Of a header that may be encoded."""
    return str(make_header(decode_header(str(value))))


def _sample_links(kind: str) -> dict[str, str]:
    """The foot of an email to someone with an account, with links that open nothing."""
    if EMAILS[kind].is_sensitive:
        return {}
    links = {"preferences_path": path_to("preferences", DOTS)}
    return links | {"unsubscribe_path": path_to("unsubscribe", DOTS)} if kind in CHOICES else links


# --- A test to oneself --------------------------------------------------------------------------------------


def _send_test(request: HttpRequest, asked: Asked, source: Source) -> HttpResponse:
    if not request.user.has_perm(MAY_TEST):
        raise PermissionDenied
    assert isinstance(request.user, User)
    try:
        key = uuid.UUID(request.POST.get("key", ""))
        if source.why_not:
            raise NotPossible(source.why_not)
        send_test(kind=asked.kind, facts=redacted_facts(source.facts), by=request.user, key=key)
    except ValueError:
        messages.error(request, "Please press the button again.")
    except NotPossible as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"A test is on its way to {request.user.email}.")
    return redirect(request.path + asked.query())
