"""A family with two paid places, and the ways to cancel one."""

import re
from html import unescape

from django.urls import reverse
from django.utils import timezone

from billing.changes.cancellation import cancel_enrollment
from billing.checkout.place_order import place_order
from billing.models import PaymentPlan
from enrollments.models import Enrollment
from orders.cart import add_to_cart
from orders.models import cart_of
from tests.factories import create_course, create_household
from tests.shop import hear, open_page


def two_children(shop, *, parts=1, household=None):
    """The children of a family in one class; the second child has a sibling's price."""
    household = household or create_household(children=2)
    course = create_course(sessions=10)
    for child in household.children.order_by("pk"):
        add_to_cart(household=household, child=child, course=course, now=timezone.now())
    order = cart_of(household)
    plan = None
    if parts > 1:
        plan, _ = PaymentPlan.objects.get_or_create(name=f"{parts} parts", parts=parts)
    place_order(order=order, by=household.guardians.get(), now=timezone.now(), plan=plan)
    shop.pay(open_page(order))
    hear(shop, "payment_intent.succeeded")
    order.refresh_from_db()
    return order


def places(order):
    return list(Enrollment.objects.filter(order_item__order=order).order_by("pk"))


def parts_of(order):
    return [(part.amount_cents, part.status) for part in order.installments.order_by("number")]


def give_up(enrollment, **options):
    now = options.pop("now", None) or timezone.now()
    by = enrollment.child.household.guardians.first()
    return cancel_enrollment(enrollment=enrollment, by=by, reason="no time", now=now, **options)


def figures(cancellation):
    return (
        cancellation.status,
        cancellation.stopped_cents,
        cancellation.refund_cents,
        cancellation.credit_cents,
    )


def confirm_on_page(client, enrollment):
    """Read the page and press its button, as a browser does."""
    url = reverse("cancel_enrollment", args=[enrollment.public_id])
    page = client.get(url)
    fingerprint = unescape(re.search(r'name="fingerprint" value="([^"]*)"', page.text).group(1))
    return page, client.post(url, {"fingerprint": fingerprint, "reason": "moved away"}, follow=True)
