"""Moving a child to another class: first choose the class, then see the consequences and confirm."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.changes.transfer import TransferQuote, quote_transfer, transfer
from billing.models import Transfer
from csf import clock
from csf.money import money_text
from csf.refusal import NotPossible
from csf.staff.columns import link, money
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Button, Panel, panel, row_buttons
from csf.staff.reason_form import ReasonForm
from csf.templatetags.csf_format import day, moment, time_of_day
from enrollments.families.who_is_notified import who_is_notified
from enrollments.models import Course, Enrollment, User
from orders.models import Order, OrderItem

PERMISSION = "billing.add_transfer"


class TransferForm(ReasonForm):
    consent = forms.CharField(
        label="How and when the family agreed",
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
    )
    field_order = ["reason", "consent"]

    def __init__(self, *args: Any, quote: TransferQuote, **options: Any) -> None:
        super().__init__(*args, **options)
        if quote.difference_cents <= 0:
            del self.fields["consent"]
            return
        amount = money_text(quote.difference_cents)
        self.fields["consent"].help_text = (
            f"Such as “on the phone on May 3, with the mother”. If you fill this in, {quote.card} is "
            f"charged {amount} right away. If not, nothing is charged, and the family pays from its account "
            "or its email."
            if quote.card
            else f"The family has no saved card: it pays the {amount} from its account or its email."
        )


@dataclass(frozen=True)
class Facts:
    """What a move would mean, for the page that asks."""

    quote: TransferQuote

    @property
    def fingerprint(self) -> str:
        return self.quote.fingerprint

    def panel(self) -> Panel:
        quote, item = self.quote, self.quote.item
        rows = [
            ("Class", link(item.course), link(quote.course)),
            ("When", _when(item.course), _when(quote.course)),
            ("Where", item.course.location.name, quote.course.location.name),
            ("Price", _old_price(item), _new_price(quote)),
            ("Worth today", money_text(quote.left_cents), money_text(quote.price_cents)),
            ("Difference", "", _difference(quote.difference_cents)),
            *(
                (
                    f"Installment of {day(cut.installment.due_on)}",
                    money_text(cut.installment.amount_cents),
                    money_text(cut.left_cents) if cut.left_cents else "not charged",
                )
                for cut in quote.reduction.cuts
            ),
        ]
        if quote.reduction.credit_cents:
            rows.append(("Credit", "", money_text(quote.reduction.credit_cents)))
        return Panel("", [str(item.child), "Now", "After the move"], rows)


def _when(course: Course) -> str:
    hours = f"{time_of_day(course.start_time)} to {time_of_day(course.end_time)}"
    return f"{course.get_weekday_display()}s, {hours}, {day(course.first_on)} to {day(course.last_on)}"


def _old_price(item: OrderItem) -> str:
    list_cents, net_cents = item.list_cents or 0, item.net_cents or 0
    if list_cents == net_cents:
        return money_text(net_cents)
    return f"{money_text(list_cents)} less discounts: {money_text(net_cents)}"


def _new_price(quote: TransferQuote) -> str:
    text = money_text(quote.course.price_cents)
    if quote.sessions_left != quote.sessions:
        share = f"{quote.sessions_left} of {quote.sessions} sessions left"
        text = f"{text}, {share}: {money_text(quote.list_cents)}"
    if quote.list_cents != quote.price_cents:
        text = f"{text} less the same discounts: {money_text(quote.price_cents)}"
    return text


def _difference(cents: int) -> str:
    if not cents:
        return "the same price"
    return f"{money_text(abs(cents))} {'more' if cents > 0 else 'less'}"


@admin.register(Transfer)
class TransferAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "order", "left", "joined", money("difference_cents", "difference"), "by"]
    list_select_related = ["order", "left__child", "left__course", "joined__child", "joined__course", "by"]
    search_fields = ["order__number", "order__household__name", "reason"]
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = [
        "order",
        ("left", "joined"),
        (money("difference_cents", "difference"), "installment"),
        (money("stopped_cents", "not charged"), money("credit_cents", "credit")),
        ("by", "created_at"),
        "reason",
        "consent",
    ]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("from/<int:pk>/", view(choose_class), name="billing_transfer_choose"),
            path("from/<int:pk>/to/<int:course_pk>/", view(confirm_move), name="billing_transfer_confirm"),
            *super().get_urls(),
        ]


@row_buttons(Enrollment)
def move_button(request: HttpRequest, enrollment: Enrollment) -> list[Button]:
    if not request.user.has_perm(PERMISSION) or not _can_move(enrollment):
        return []
    return [Button("Move to another class", reverse("admin:billing_transfer_choose", args=[enrollment.pk]))]


def _can_move(enrollment: Enrollment) -> bool:
    is_bought = OrderItem.objects.filter(enrollment=enrollment).exists()
    return is_bought and enrollment.can_be_given_up(clock.today())


def choose_class(request: HttpRequest, pk: int) -> HttpResponse:
    """The classes that fit the child and have a free seat."""
    enrollment = _enrollment(request, pk)
    if not _can_move(enrollment):
        messages.error(request, "This place cannot be moved.")
        return redirect(_page_of(enrollment))
    rows = [
        (
            link(course),
            _when(course),
            course.location.name,
            money_text(course.price_cents),
            course.places_left,
            _choose_link(enrollment, course),
        )
        for course in fitting(enrollment)
    ]
    headers = ["Class", "When", "Where", "Price", "Free places", ""]
    context = _context(request, enrollment) | {
        "title": f"Move {enrollment.child} to another class",
        "panel": Panel("", headers, rows),
    }
    return TemplateResponse(request, "admin/billing/choose_class.html", context)


def fitting(enrollment: Enrollment) -> list[Course]:
    """Classes of the child's age with a free seat, where it has no place yet; those of the same program
    first."""
    child, today = enrollment.child, clock.today()
    taken = child.enrollments.live().values("course")
    courses: QuerySet[Course] = Course.objects.offered(today).exclude(pk__in=taken).with_places().with_days()
    found = courses.filter(capacity__gt=F("taken") + F("waiting")).select_related("location")
    program = enrollment.course.program_id
    return sorted(
        (course for course in found if course.fits_age(child.age_on(course.starts_on))),
        key=lambda course: (course.program_id != program, course.first_on, course.title, course.pk),
    )


def _choose_link(enrollment: Enrollment, course: Course) -> SafeString:
    url = reverse("admin:billing_transfer_confirm", args=[enrollment.pk, course.pk])
    return format_html(
        '<a class="text-link" href="{}">Choose<span class="sr-only"> {}</span></a>', url, course
    )


def confirm_move(request: HttpRequest, pk: int, course_pk: int) -> HttpResponse:
    """Show what the move means; the button makes it."""
    enrollment = _enrollment(request, pk)
    course = get_object_or_404(Course.objects.select_related("location"), pk=course_pk)
    try:
        quote = quote_transfer(enrollment=enrollment, course=course, now=clock.now())
    except NotPossible as refusal:
        messages.error(request, refusal.message)
        return redirect("admin:billing_transfer_choose", pk)
    form = TransferForm(request.POST if request.method == "POST" else None, quote=quote)
    if form.is_valid():
        if why_not := _move(request, quote, form):
            form.add_error(None, why_not)
            try:
                quote = quote_transfer(enrollment=enrollment, course=course, now=clock.now())
            except NotPossible as refusal:
                messages.error(request, refusal.message)
                return redirect("admin:billing_transfer_choose", pk)
        else:
            return redirect(_page_of(enrollment))
    title = f"Move {enrollment.child} to {course}"
    context = _context(request, enrollment) | {
        "title": title,
        "action": {"title": title},
        "meaning": _meaning(quote),
        "notified": _notified(quote),
        "facts": Facts(quote),
        "form": form,
        "confirm": f"Move {enrollment.child} now",
        "back": reverse("admin:billing_transfer_choose", args=[pk]),
    }
    return TemplateResponse(request, "admin/action.html", context)


def _meaning(quote: TransferQuote) -> str:
    text = "The child gets the new place. The old one is free right away and goes to the waitlist. "
    return f"{text}The difference is due today." if quote.difference_cents > 0 else text


def _notified(quote: TransferQuote) -> str:
    email = "The family gets an email that says what happens to its money."
    return who_is_notified(quote.item.child.household, email=email)


def _move(request: HttpRequest, quote: TransferQuote, form: TransferForm) -> str:
    """Why it was not done; empty if it was."""
    assert isinstance(request.user, User)
    assert quote.item.enrollment
    try:
        done = transfer(
            enrollment=quote.item.enrollment,
            course=quote.course,
            by=request.user,
            now=clock.now(),
            fingerprint=request.POST.get("fingerprint", ""),
            **form.arguments(),
        )
    except NotPossible as refusal:
        return refusal.message
    charged = done.installment and done.installment.attempts.exists()
    money_ = " The charge is being made. Its outcome appears on the order in a moment." if charged else ""
    text = f"{done.joined.child} is now in {done.joined.course}.{money_} {_notified(quote)}"
    messages.success(request, text)
    return ""


def _enrollment(request: HttpRequest, pk: int) -> Enrollment:
    if not request.user.has_perm(PERMISSION) or not request.user.has_perm("enrollments.view_enrollment"):
        raise PermissionDenied
    rows = Enrollment.objects.select_related("child__household", "course")
    return get_object_or_404(rows, pk=pk)


def _page_of(enrollment: Enrollment) -> str:
    return reverse("admin:enrollments_enrollment_change", args=[enrollment.pk])


def _context(request: HttpRequest, enrollment: Enrollment) -> dict[str, Any]:
    return {
        **admin.site.each_context(request),
        "opts": Enrollment._meta,
        "original": enrollment,
        "back": _page_of(enrollment),
    }


def _transfers(rows: Any) -> Panel:
    return Panel(
        "Transfers",
        ["When", "From", "To", "Difference", "Not charged", "Credit", "To pay", "By", "Why"],
        [
            (
                link(row, moment(row.created_at)),
                link(row.left, row.left.course),
                link(row.joined, row.joined.course),
                money_text(row.difference_cents),
                row.stopped_cents and money_text(row.stopped_cents),
                row.credit_cents and money_text(row.credit_cents),
                row.installment and link(row.installment, row.installment.get_status_display()),
                link(row.by),
                row.reason,
            )
            for row in rows.select_related("left__course", "joined__course", "installment", "by")
        ],
    )


@panel(Order, permission="billing.view_transfer")
def order_transfers(order: Order) -> Panel:
    return _transfers(order.transfers.all())


@panel(Enrollment, permission="billing.view_transfer")
def enrollment_transfers(enrollment: Enrollment) -> Panel:
    return _transfers(Transfer.objects.filter(left=enrollment) | Transfer.objects.filter(joined=enrollment))
