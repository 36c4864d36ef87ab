"""What a parent agrees to before later charges: kept word for word with the order, apart from the terms."""

import datetime
from collections.abc import Sequence

from django.conf import settings

from billing.models import Consent, PaymentPlan
from billing.plans import Part
from csf.money import money_text
from csf.templatetags.csf_format import day
from enrollments.models import User
from orders.models import Order

TEXT_VERSION = "2026-11"


def consent_text(parts: Sequence[Part]) -> str:
    later = ", ".join(f"{money_text(part.amount_cents)} on {day(part.due_on)}" for part in parts[1:])
    return (
        f"I allow {settings.SCHOOL_NAME} to charge the card that pays the first part also for the others: "
        f"{later}. I get an email before each charge, I can pay earlier or change the card in my account, "
        f"and I can withdraw this permission at any time by writing to {settings.SCHOOL_EMAIL}; what is owed "
        "stays owed."
    )


def record_consent(
    *,
    order: Order,
    plan: PaymentPlan,
    parts: Sequence[Part],
    by: User,
    at: datetime.datetime,
    address: str | None,
) -> Consent:
    return Consent.objects.create(
        order=order,
        plan=plan,
        given_by=by,
        text_version=TEXT_VERSION,
        text=consent_text(parts),
        schedule=[
            {"number": part.number, "due_on": part.due_on.isoformat(), "amount_cents": part.amount_cents}
            for part in parts
        ],
        address=address,
        given_at=at,
    )
