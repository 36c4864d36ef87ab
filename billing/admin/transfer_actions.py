"""Moving a child to another class: first choose the class, then look at what it means and confirm."""

from dataclasses import dataclass
from typing import Any, Self

from django import forms
from django.db.models import F, QuerySet
from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextareaWidget

from billing.changes.transfer import TransferQuote, quote_transfer, transfer
from billing.models import Transfer
from csf import clock
from csf.money import money_text
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.staff.reason_form import ChoiceForm, ReasonForm
from csf.templatetags.csf_format import day, time_of_day
from enrollments.families.who_is_notified import who_is_notified
from enrollments.models import Course, Enrollment
from orders.models import OrderItem


@dataclass(frozen=True)
class PlaceFacts:
    """A place before another class is chosen."""

    row: Enrollment

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Enrollment.objects.select_related("child__household", "course"), pk=pk))

    @property
    def can_be_moved(self) -> bool:
        is_bought = OrderItem.objects.filter(enrollment=self.row).exists()
        return is_bought and self.row.can_be_given_up(clock.today())

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.status)

    @property
    def words(self) -> dict[str, Any]:
        return {"due": ""}

    def panel(self) -> Panel:
        return Panel("", lines=[("Place", link(self.row))])


@dataclass(frozen=True)
class QuoteFacts:
    """What a transfer would mean."""

    row: Enrollment
    quote: TransferQuote

    @property
    def fingerprint(self) -> str:
        return self.quote.fingerprint

    @property
    def words(self) -> dict[str, Any]:
        due = " The difference is due today." if self.quote.difference_cents > 0 else ""
        return {"child": self.row.child, "due": due}

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


class ClassChoice(ChoiceForm):
    course = forms.ModelChoiceField(Course.objects.select_related("location"))

    def chosen(self) -> QuoteFacts:
        place: Enrollment = self.facts.row
        course: Course = self.cleaned_data["course"]
        return QuoteFacts(place, quote_transfer(enrollment=place, course=course, now=clock.now()))

    def panel(self) -> Panel:
        rows = [
            (
                link(course),
                _when(course),
                course.location.name,
                money_text(course.price_cents),
                course.places_left,
                _choose_link(self.facts.row, course),
            )
            for course in fitting(self.facts.row)
        ]
        return Panel("", ["Class", "When", "Where", "Price", "Free places", ""], rows)


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


def _choose_link(place: Enrollment, course: Course) -> SafeString:
    page = TRANSFER_ACTIONS.address(place, "move")
    text = '<a class="text-link" href="{}?course={}">Choose<span class="sr-only"> {}</span></a>'
    return format_html(text, page, course.pk, course)


class TransferForm(ReasonForm):
    consent = forms.CharField(
        label="How and when the family agreed",
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
    )
    field_order = ["reason", "consent"]

    def __init__(self, *args: Any, facts: QuoteFacts, **options: Any) -> None:
        super().__init__(*args, facts=facts, **options)
        quote = facts.quote
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

    def arguments(self) -> dict[str, Any]:
        quote = self.facts.quote
        return super().arguments() | {"course": quote.course, "fingerprint": quote.fingerprint}


def _transfer(**how: Any) -> Transfer:
    return transfer(now=clock.now(), **how)


def _done(made: Transfer) -> str:
    charged = made.installment and made.installment.attempts.exists()
    money = " The charge is being made. Its outcome appears on the order in a moment." if charged else ""
    return f"{made.joined.child} is now in {made.joined.course}.{money}"


TRANSFER_ACTIONS = Actions(
    Enrollment,
    PlaceFacts.of,
    [
        Action(
            name="move",
            title="Move to another class",
            permission="billing.add_transfer",
            argument="enrollment",
            act=_transfer,
            choice=ClassChoice,
            form=TransferForm,
            is_possible=lambda facts: facts.can_be_moved,
            confirm="Move {child} now",
            meaning="The child gets the new place. The old one is free right away and goes to the "
            "waitlist.{due}",
            done=_done,
            email="The family gets an email that says what happens to its money.",
        )
    ],
    notified=lambda place, email: who_is_notified(place.child.household, email=email),
    slug="transfer",
)
