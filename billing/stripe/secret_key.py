"""Whether Stripe accepts our secret key. While it does not, nothing can be paid, refunded or charged, and
only a person can help: one staff task names the key, and an alert says that it is open."""

from django.conf import settings
from django.db.models import QuerySet

from billing.task_kinds import MoneyTask
from csf.models import Breaker, StaffTask


def refused(words: str) -> None:
    """`words` are Stripe's."""
    key = f"{_masked()} (STRIPE_{'LIVE' if settings.STRIPE_LIVE_MODE else 'TEST'}_SECRET_KEY)"
    detail = (
        f"Stripe rejects the key {key}: {words}. Nothing can be paid, refunded or charged. Create a new key "
        "in Stripe's dashboard, put it in the settings and restart web and worker."
    )
    Breaker.failed(_name())
    StaffTask.open(MoneyTask.STRIPE_KEY_REFUSED, Breaker(name=_name()), detail)


def accepted() -> None:
    """After a call that went through. That of a job is enough: it costs a statement."""
    Breaker.answered(_name())


def refusals() -> QuerySet[Breaker]:
    """Of the key that is in use: a new one has none."""
    return Breaker.objects.filter(name=_name(), failures__gt=0)


def _name() -> str:
    return f"stripe_key {_masked()}"


def _masked() -> str:
    """As Stripe's dashboard shows it."""
    key = settings.STRIPE_SECRET_KEY
    return f"{key[:8]}...{key[-4:]}"
