"""What the emails about credit and about a move to another class say."""

from billing.ledger.signed_links import pay_link_path
from billing.models import Credit, CreditCause, Transfer
from enrollments.models import Enrollment
from notifications.facts.calendar import CANCEL, calendar_facts
from notifications.facts.snapshots import course_facts, order_facts
from notifications.spec import Snapshot


def transfer_snapshot(fact: Transfer) -> Snapshot:
    order, joined, part = fact.order, fact.joined, fact.installment
    attempt = part and part.attempts.select_related("card").first()
    card = attempt.card if attempt else None
    given = Credit.objects.filter(order=order, cause=CreditCause.TRANSFER).order_by("-pk").first()
    credit_until = given.expires_on if given and fact.credit_cents else None
    still_open = order.installments.open().exclude(pk=part.pk if part else 0).order_by("due_on", "number")
    return (
        order_facts(order)
        | course_facts(joined.course)
        | _days_left(joined)
        | {
            "calendars": calendar_facts(fact.left, CANCEL) + calendar_facts(joined),
            "child": str(joined.child),
            "child_first_name": joined.child.first_name,
            "old_course": fact.left.course.title,
            "difference_cents": fact.difference_cents,
            "stopped_cents": fact.stopped_cents,
            "credit_cents": fact.credit_cents,
            "credit_until": credit_until and credit_until.isoformat(),
            "pay_cents": part.amount_cents if part else 0,
            "pay_path": pay_link_path(part) if part and not card else "",
            "card_brand": card.brand if card else "",
            "card_last4": card.last4 if card else "",
            "left": [
                {"due_on": row.due_on.isoformat(), "amount_cents": row.amount_cents} for row in still_open
            ],
        }
    )


def _days_left(joined: Enrollment) -> Snapshot:
    """Of a class that has begun, the sessions that the child still takes part in."""
    rows = joined.course.sessions.filter(cancelled_at=None)
    days = [row.held_on for row in rows if row.starts_at > joined.created_at]
    if not days:
        return {"sessions": 0}
    return {"first_on": days[0].isoformat(), "last_on": days[-1].isoformat(), "sessions": len(days)}
