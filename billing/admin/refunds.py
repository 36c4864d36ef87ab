"""Refunds, made or requested, and what changed in orders after they were paid."""

from typing import Any

from django.contrib import admin
from django.utils.safestring import SafeString

from billing.models import (
    Cancellation,
    CancellationTransition,
    Consent,
    Credit,
    Dispute,
    Payment,
    Refund,
    RefundTransition,
    WaitlistConsent,
)
from csf.money import money_text
from csf.staff.columns import badge, link, money, state
from csf.staff.model_admin import ReadOnlyAdmin, TransitionAdmin
from csf.staff.panels import Panel, history, panel
from csf.templatetags.csf_format import day, moment
from enrollments.models import Enrollment, Household
from orders.models import Order


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    list_display = [
        "created_at",
        "order",
        "family",
        "amount",
        state(),
        "cause",
        "reason",
        "requested_by",
        "approved_by",
    ]
    list_filter = ["status", "cause", "method", "created_at"]
    list_select_related = ["order__household", "payment", "requested_by", "approved_by"]
    search_fields = ["order__number", "order__household__name", "stripe_refund_id", "reason"]
    search_help_text = "Search by order, family, Stripe id or reason."
    date_hierarchy = "created_at"
    ordering = ["-pk"]
    fields = [
        ("order", "family"),
        ("amount", state()),
        ("place", "payment"),
        ("cause", "reason"),
        ("requested_by", "approved_by"),
        ("needs_second_person", "is_by_rule", "created_at"),
        ("stripe_refund_id", "tries"),
        "error",
    ]

    @admin.display(description="family", ordering="order__household__name")
    def family(self, refund: Refund) -> SafeString:
        return link(refund.order.household)

    @admin.display(description="amount", ordering="amount_cents")
    def amount(self, refund: Refund) -> str:
        return f"{money_text(refund.amount_cents)} {refund.way_back}"

    @admin.display(description="place")
    def place(self, refund: Refund) -> SafeString | None:
        return link(refund.cancellation.enrollment) if refund.cancellation else None


@admin.register(RefundTransition)
class RefundTransitionAdmin(TransitionAdmin):
    parent = "refund"
    list_select_related = ["refund__order", "by"]
    search_fields = ["refund__order__number", "reason"]


@panel(Refund, permission="billing.view_refundtransition")
def refund_history(refund: Refund) -> Panel:
    return history(refund)


@admin.register(Credit)
class CreditAdmin(ReadOnlyAdmin):
    list_display = ["created_at", "household", money("amount_cents", "amount"), "cause", "expires_on", "by"]
    list_filter = ["cause", "created_at", "expires_on"]
    list_select_related = ["household", "by"]
    search_fields = ["household__name", "order__number", "reason"]
    search_help_text = "Search by family, order or reason."
    date_hierarchy = "created_at"
    ordering = ["-pk"]


@admin.register(Cancellation)
class CancellationAdmin(ReadOnlyAdmin):
    list_display = [
        "requested_at",
        "enrollment",
        state(),
        "terms",
        money("value_cents", "value"),
        money("refund_cents", "refund"),
        money("credit_cents", "credit"),
        "by",
    ]
    list_filter = ["status", "terms", "requested_at"]
    list_select_related = ["enrollment__child", "enrollment__course", "by"]
    search_fields = ["order__number", "order__household__name", "reason"]
    date_hierarchy = "requested_at"
    ordering = ["-pk"]


@admin.register(CancellationTransition)
class CancellationTransitionAdmin(TransitionAdmin):
    parent = "cancellation"
    list_select_related = ["cancellation__enrollment__child", "cancellation__enrollment__course", "by"]
    search_fields = ["cancellation__order__number", "reason"]


@admin.register(Dispute)
class DisputeAdmin(ReadOnlyAdmin):
    list_display = ["opened_at", "payment", money("amount_cents", "amount"), "reason", "status", "closed_at"]
    list_filter = ["status", "reason", ("closed_at", admin.EmptyFieldListFilter)]
    list_select_related = ["payment__order"]
    search_fields = ["stripe_id", "payment__order__number", "payment__order__household__name"]
    date_hierarchy = "opened_at"
    ordering = ["-pk"]


@admin.register(WaitlistConsent)
class WaitlistConsentAdmin(ReadOnlyAdmin):
    list_display = ["given_at", "enrollment", "given_by", money("at_most_cents", "at most"), "text_version"]
    list_select_related = ["enrollment__child", "enrollment__course", "given_by"]
    search_fields = ["given_by__email", "enrollment__child__last_name"]
    date_hierarchy = "given_at"
    ordering = ["-pk"]


# --- Panels -------------------------------------------------------------------------------------------------


def _refunds(title: str, rows: Any) -> Panel:
    return Panel(
        title,
        ["Requested", "Amount", "Refund", "Status", "Cause", "Requested by", "Approved by"],
        [
            (
                link(row, moment(row.created_at)),
                money_text(row.amount_cents),
                row.way_back,
                badge(row.status, row.get_status_display()),
                row.get_cause_display(),
                link(row.requested_by) if row.requested_by else "system",
                link(row.approved_by) if row.approved_by else "",
            )
            for row in rows.select_related("payment", "requested_by", "approved_by")
        ],
    )


@panel(Order, permission="billing.view_refund")
def order_refunds(order: Order) -> Panel:
    return _refunds("Refunds", order.refunds.all())


@panel(Payment, permission="billing.view_refund")
def payment_refunds(payment: Payment) -> Panel:
    return _refunds("Refunds", payment.refunds.all())


@panel(Refund, permission="billing.view_payment")
def refund_payments(refund: Refund) -> Panel:
    """What was paid and refunded for the whole order, for the person who decides."""
    return Panel(
        "Payments of the order",
        ["Received", "Amount", "By", "Refunds"],
        [
            (
                link(row, moment(row.received_at)),
                money_text(row.amount_cents),
                row.how,
                ", ".join(
                    f"{money_text(back.amount_cents)} {back.get_status_display()}"
                    for back in row.refunds.all()
                ),
            )
            for row in refund.order.payments.prefetch_related("refunds")
        ],
    )


def _cancellations(rows: Any) -> Panel:
    return Panel(
        "Cancellations",
        ["Requested", "Place", "Terms", "No longer owed", "Not charged", "Refund", "Credit", "Status", "By"],
        [
            (
                link(row, moment(row.requested_at)),
                link(row.enrollment),
                row.get_terms_display(),
                *(
                    "" if cents is None else money_text(cents)
                    for cents in (row.value_cents, row.stopped_cents, row.refund_cents, row.credit_cents)
                ),
                badge(row.status, row.get_status_display()),
                link(row.by) if row.by else "system",
            )
            for row in rows.select_related("enrollment__child", "enrollment__course", "by")
        ],
    )


@panel(Order, permission="billing.view_cancellation")
def order_cancellations(order: Order) -> Panel:
    return _cancellations(order.cancellations.all())


@panel(Enrollment, permission="billing.view_cancellation")
def enrollment_cancellation(enrollment: Enrollment) -> Panel:
    return _cancellations(Cancellation.objects.filter(enrollment=enrollment))


@panel(Household, permission="billing.view_credit")
def family_credits(family: Household) -> Panel:
    return Panel(
        f"Credit: {money_text(family.credits.balance_cents())}",
        ["When", "Amount", "What for", "Valid until", "By"],
        [
            (
                link(row, moment(row.created_at)),
                money_text(row.amount_cents),
                row.reason or row.get_cause_display(),
                row.expires_on and day(row.expires_on),
                link(row.by) if row.by else "system",
            )
            for row in family.credits.select_related("by").order_by("-pk")
        ],
    )


@panel(Cancellation, permission="billing.view_refund")
def cancellation_refunds(cancellation: Cancellation) -> Panel:
    return _refunds("Refunds", cancellation.refunds.all())


@panel(Cancellation, permission="billing.view_cancellationtransition")
def cancellation_history(cancellation: Cancellation) -> Panel:
    return history(cancellation)


@panel(Dispute, permission="billing.view_consent")
def dispute_evidence(dispute: Dispute) -> Panel:
    """What Stripe wants to see: what was bought and when, and what the family agreed to."""
    order, part = dispute.payment.order, dispute.payment.installment
    assert order.placed_at
    consent = (part and part.consent) or Consent.objects.filter(order=order).first()
    rows: list[tuple[object, ...]] = [
        ("Order", link(order), f"placed {moment(order.placed_at)} by {order.placed_by}"),
        ("Family", link(order.household), order.household.email),
        ("Payment", link(dispute.payment), f"received {moment(dispute.payment.received_at)}"),
    ]
    rows += [
        ("Class", item.enrollment and link(item.enrollment, item), money_text(item.net_cents or 0))
        for item in order.items.select_related("child", "course", "enrollment__child", "enrollment__course")
    ]
    if consent:
        address = consent.address or "an unknown address"
        given = f"{moment(consent.given_at)} by {consent.given_by}, from {address}"
        rows += [("Agreement", link(consent, consent.text_version), given), ("", "", consent.text)]
    return Panel("Evidence", ["What", "Row", "Facts"], rows)


@panel(Dispute, permission="billing.view_refund")
def dispute_refunds(dispute: Dispute) -> Panel:
    return _refunds("Refunds of the payment", dispute.payment.refunds.all())
