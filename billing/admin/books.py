"""Differences between our books and Stripe's, for the person who looks into them."""

from dataclasses import dataclass
from typing import Any, Self

from django.contrib import admin
from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.ledger import differences
from billing.models import BookDifference, ComparedDay
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.model_admin import ReadOnlyAdmin
from csf.staff.panels import Panel


def at_stripe(difference: BookDifference) -> SafeString:
    return format_html(
        '<a class="text-link" href="{}" rel="noreferrer">{}</a>', difference.url, difference.stripe_id
    )


@dataclass(frozen=True)
class DifferenceFacts:
    row: BookDifference

    @classmethod
    def of(cls, pk: int) -> Self:
        rows = BookDifference.objects.select_related("household")
        return cls(get_object_or_404(rows, pk=pk))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.ours, self.row.theirs, self.row.closed_at)

    @property
    def words(self) -> dict[str, Any]:
        return {}

    def panel(self) -> Panel:
        row = self.row
        family = link(row.household) if row.household else ""
        return Panel(
            "",
            ["What", "At Stripe", "Our books", "Stripe's books", "Family"],
            [
                [
                    row.get_subject_display(),
                    at_stripe(row),
                    row.ours or "nothing",
                    row.theirs or "nothing",
                    family,
                ]
            ],
        )


DIFFERENCE_ACTIONS = Actions(
    BookDifference,
    DifferenceFacts.of,
    [
        Action(
            name="explain",
            title="Explained",
            permission="billing.change_bookdifference",
            argument="difference",
            act=differences.explain,
            is_possible=lambda facts: facts.row.closed_at is None,
            confirm="Close this difference",
            meaning=(
                "First look at Stripe, and do what is needed there or here. This button moves no money. "
                "The difference opens again if the figures change."
            ),
            done="The difference is closed, with your reason.",
        )
    ],
)


@admin.register(BookDifference)
class BookDifferenceAdmin(ReadOnlyAdmin):
    list_display = [
        "found_at",
        "subject",
        "stripe_id",
        "ours",
        "theirs",
        "household",
        "closed_at",
        "closed_by",
    ]
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "subject"]
    list_select_related = ["household", "closed_by"]
    search_fields = ["stripe_id", "household__name", "explanation"]
    search_help_text = "Search by Stripe id, family or explanation."
    ordering = ["-pk"]
    fields = ["subject", "at_stripe", "ours", "theirs", "household", "found_at", "closed_at", "closed_by"]
    fields += ["explanation"]

    @admin.display(description="at Stripe")
    def at_stripe(self, difference: BookDifference) -> SafeString:
        return at_stripe(difference)


@admin.register(ComparedDay)
class ComparedDayAdmin(ReadOnlyAdmin):
    list_display = ["day", "compared_at", "payments", "refunds", "disputes", "open_invoices", "foreign"]
    ordering = ["-day"]
