"""Announcing the ways to pay before there is a cart."""

from django import template

from billing.checkout.place_order import plans_of
from billing.models import PaymentPlan
from billing.plan_schedule import Part
from csf import clock
from enrollments.models import Course

register = template.Library()


@register.simple_tag
def plans_for_class(course: Course, cents: int) -> list[tuple[PaymentPlan, list[Part]]]:
    """How a place at this price could be paid today: `{% plans_for_class course cents as plans %}`."""
    return plans_of([course], total_cents=cents, on=clock.today()) if cents else []


@register.simple_tag
def has_plans() -> bool:
    return PaymentPlan.objects.filter(is_active=True, archived_at=None).exists()
