"""Calls to Stripe while a person waits: what the page says when Stripe is silent, and when it refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.stripe import gateway
from billing.task_kinds import MoneyTask
from csf.models import StaffTask


class StripeUnavailable(Exception):
    """Stripe did not answer; nothing is lost, and the same button may be pressed again."""

    words: Promise = _(
        "The payment page is not responding right now. Nothing is lost; please try again in a moment."
    )


class PageRefused(StripeUnavailable):
    """Stripe said no, and would again; staff have a task with the reason."""

    words: Promise = _(
        "The payment page cannot be opened right now. We have been notified and will write to you."
    )


@contextmanager
def asking_stripe(about: models.Model) -> Iterator[None]:
    """Raise StripeUnavailable if Stripe does not answer; if it refuses, PageRefused, with one task about the
    row."""
    try:
        yield
    except gateway.OutcomeUnknown as error:
        raise StripeUnavailable from error
    except gateway.StripeRefused as error:
        StaffTask.open(MoneyTask.CHARGE_REJECTED, about, str(error))
        raise PageRefused from error
