"""What opens the Stripe account is not in the database, and so in no dump: dj-stripe's own tables would hold
the API key and the secrets of webhooks as plain text.

The key is in the environment; its row keeps a fingerprint. A webhook's secret, which Stripe shows only once,
is encrypted with FIELD_KEYS.
"""

import hashlib
from typing import Any

from django.conf import settings
from django.db import models
from djstripe.models import APIKey, WebhookEndpoint

from csf.encryption import ReadThrough, SealedCharField

HIDDEN = "_hidden_"


def fingerprint(key: str) -> str:
    """Identifies a key without revealing it: Stripe's keys are too random to be guessed."""
    if HIDDEN in key:
        return key
    kind = "_".join(key.split("_")[:2])  # dj-stripe reads from it what kind of key it is
    return f"{kind}{HIDDEN}{hashlib.sha256(key.encode()).hexdigest()}"


class _FromEnvironment(ReadThrough):
    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        stored = super().__get__(instance, cls)
        ours = settings.STRIPE_SECRET_KEY
        return ours if isinstance(stored, str) and stored == fingerprint(ours) else stored


class KeyFromEnvironment(models.CharField):  # type: ignore[type-arg] # not generic at run time
    """An API key whose column holds its fingerprint."""

    descriptor_class = _FromEnvironment

    def get_prep_value(self, value: Any) -> Any:
        return fingerprint(value) if value else value

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


def protect_secrets() -> None:
    """Called once, when the apps are ready: the columns stay as dj-stripe made them, but store something
    else."""
    for model, kind in ((APIKey, KeyFromEnvironment), (WebhookEndpoint, SealedCharField)):
        field: Any = model._meta.get_field("secret")
        field.__class__ = kind
        setattr(model, field.attname, kind.descriptor_class(field))
