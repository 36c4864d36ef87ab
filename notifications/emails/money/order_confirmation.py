"""An order was placed. Its fact is written last, so the lines and the payment plan are there."""

from collections.abc import Iterable
from datetime import timedelta
from operator import attrgetter
from typing import Any

from django.utils.translation import gettext_lazy as _

from billing.ledger.credits import spent_on
from notifications.facts.order_states import ALIVE
from notifications.facts.recipients import ordering_family
from notifications.facts.samples import (
    HOSTILE,
    HOSTILE_CLASS,
    LONG,
    ORDER,
    ROBOTICS,
    SIBLING_DISCOUNT,
    SWIMMING,
)
from notifications.facts.snapshots import bought_facts, course_facts, installment_facts, order_facts
from notifications.spec import Email, RequiredFor, Samples, Snapshot, Trigger, after
from orders.models import OrderOrigin, OrderStatus, OrderTransition
from orders.waitlist import is_promotion


def snapshot(fact: OrderTransition) -> Snapshot:
    order = fact.order
    items = order.items.select_related("child", "course__location", "enrollment", "order")
    items = items.prefetch_related("course__sessions")
    installments = list(order.installments.all())
    return order_facts(order) | {
        "placed_at": order.placed_at and order.placed_at.isoformat(),
        "held_until": order.held_until and order.held_until.isoformat() if installments else None,
        "lines": [
            course_facts(item.course)
            | bought_facts(item)
            | {
                "child": str(item.child),
                "list_cents": item.list_cents,
                "net_cents": item.net_cents,
                "reductions": item.explanation,
            }
            for item in items
        ],
        "total_cents": order.total_cents,
        "credit_cents": spent_on(order),
        "schedule": [installment_facts(part, len(installments)) for part in installments],
    }


def is_alive(facts: Iterable[int]) -> set[int]:
    alive = OrderTransition.objects.filter(pk__in=facts, order__status__in=ALIVE)
    return set(alive.values_list("pk", flat=True))


def samples() -> Samples:
    return {
        "minimal": _order([_line(ROBOTICS, "Noah Lopez", 0)], first_name="", placed_at=None),
        "typical": _order(
            [
                _line(ROBOTICS, "Noah Lopez", 24_000),
                _line(SWIMMING, "Noah Lopez", 18_000),
                _line(SWIMMING, "Emma Lopez", 18_000, 4_500),
            ],
            parts=3,
        ),
        "huge": _order([_line(SWIMMING, f"{LONG} {n}", 123_456, 12_345) for n in range(100)], parts=12),
        "hostile": _order(
            [_line(HOSTILE_CLASS, HOSTILE, 24_000, 12_000, HOSTILE)], parts=2, first_name=HOSTILE
        ),
        "with_credit": _order([_line(SWIMMING, "Emma Lopez", 18_000)], credit_cents=3_000),
        "paid_with_credit": _order(
            [_line(SWIMMING, "Emma Lopez", 18_000)], credit_cents=18_000, held_until=None, schedule=[]
        ),
    }


def _order(lines: list[Snapshot], parts: int = 1, **changes: Any) -> Snapshot:
    total = sum(line["net_cents"] for line in lines)
    return (
        ORDER
        | {
            "first_name": "Maria",
            "placed_at": "2026-08-29T21:00:12+00:00",
            "held_until": "2026-08-29T21:35:12+00:00" if total else None,
            "lines": lines,
            "total_cents": total,
            "credit_cents": 0,
            "schedule": _schedule(total, parts) if total else [],
        }
        | changes
    )


def _line(
    course: Snapshot, child: str, list_cents: int, off_cents: int = 0, label: str = SIBLING_DISCOUNT
) -> Snapshot:
    return course | {
        "child": child,
        "list_cents": list_cents,
        "net_cents": list_cents - off_cents,
        "reductions": [{"label": label, "cents": off_cents}] if off_cents else [],
    }


def _schedule(total: int, parts: int) -> list[Snapshot]:
    each = total // parts
    return [
        {
            "number": number,
            "of": parts,
            "due_on": "2026-08-29"
            if number == 1
            else f"{2026 + (7 + number) // 12}-{(7 + number) % 12 + 1:02}-28",
            "amount_cents": each if number > 1 else total - each * (parts - 1),
            "status": "scheduled",
        }
        for number in range(1, parts + 1)
    ]


EMAIL = Email(
    kind="order_confirmation",
    title=_("Order confirmation"),
    when="an order is placed, not one made for the priority tier of a waitlist",
    topic="money",
    trigger=Trigger(
        OrderTransition,
        owes=lambda moved: moved.to_status == OrderStatus.PLACED and not is_promotion(moved.order),
        order="order",
    ),
    required_for=RequiredFor(
        OrderTransition.objects.exclude(order__origin=OrderOrigin.WAITLIST).filter(to_status="placed"),
        household="order__household",
        about="order",
    ),
    recipients=ordering_family,
    family=attrgetter("order.household_id"),
    snapshot=snapshot,
    key=lambda fact: f"order:{fact.order_id}",
    accent="green",
    is_copy_harmless=True,
    expires=after(timedelta(hours=24)),
    priority=3,
    still_true=is_alive,
    samples=samples(),
)
