"""Text that the database must not be able to read: AES-256-GCM, one random nonce for each value.

Stored as `v1:<key id>:<base64 of nonce and cipher text>`. The model, the field and the row's `public_id` are
authenticated with it, so a value that was moved to another row or column does not open. Renaming the model or
the field therefore needs a data migration. The keys are `settings.FIELD_KEYS`; the first one writes, all of
them read.
"""

import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldDoesNotExist
from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Cast
from django.db.models.query_utils import DeferredAttribute

if TYPE_CHECKING:
    TextField = models.TextField[str, str]
else:
    TextField = models.TextField

VERSION = "v1"
NONCE_BYTES = 12
KEY_BYTES = 32
BATCH = 200


class BadKeys(Exception):
    """FIELD_KEYS cannot be used; the message says why."""


class Unreadable(Exception):
    """This value cannot be decrypted: its key is gone, it was changed, or it belongs to another row."""


@dataclass(frozen=True)
class Sealed:
    """A value as it is stored. Its string form reveals nothing."""

    token: str

    def __str__(self) -> str:
        return "(encrypted)"

    @property
    def key_id(self) -> str:
        return self.token.partition(":")[2].partition(":")[0]


def parse_keys(lines: tuple[str, ...]) -> dict[str, bytes]:
    """`id:base64` lines as keys by id, in their order. Raises BadKeys."""
    keys: dict[str, bytes] = {}
    for line in lines:
        key_id, _, encoded = line.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not key_id.isalnum() or len(key) != KEY_BYTES:
            raise BadKeys(f"key {key_id!r} is not <letters and digits>:<base64 of {KEY_BYTES} bytes>")
        if key_id in keys:
            raise BadKeys(f"key id {key_id!r} is used twice")
        keys[key_id] = key
    if not keys:
        raise BadKeys("it is empty")
    return keys


def current_key_id() -> str:
    return next(iter(_keys()))


def seal(text: str, *, owner: str) -> Sealed:
    """Encrypt for `owner`, a text that identifies the one place of the value."""
    key_id = current_key_id()
    nonce = os.urandom(NONCE_BYTES)
    cipher_text = AESGCM(_keys()[key_id]).encrypt(nonce, text.encode(), owner.encode())
    return Sealed(f"{VERSION}:{key_id}:{base64.b64encode(nonce + cipher_text).decode()}")


def unseal(sealed: Sealed, *, owner: str) -> str:
    """Raises Unreadable."""
    version, _, rest = sealed.token.partition(":")
    key_id, _, encoded = rest.partition(":")
    if version != VERSION:
        raise Unreadable(f"{owner}: not a value that this program has encrypted")
    if key_id not in _keys():
        raise Unreadable(f"{owner}: it was encrypted with key {key_id!r}, which is not in FIELD_KEYS")
    try:
        data = base64.b64decode(encoded, validate=True)
        return (
            AESGCM(_keys()[key_id]).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], owner.encode()).decode()
        )
    except (binascii.Error, InvalidTag, ValueError) as error:
        raise Unreadable(f"{owner}: the value was changed, or belongs to another row") from error


def _keys() -> dict[str, bytes]:
    return _parsed(tuple(settings.FIELD_KEYS))


_parsed = lru_cache(maxsize=8)(parse_keys)


class _Text:
    """Decrypts when the attribute is read, so that one lost value never keeps a row from loading."""

    def __init__(self, field: "EncryptedTextField") -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = getattr(instance, self.field.attname)
        return unseal(value, owner=self.field.owner(instance)) if isinstance(value, Sealed) else value

    def __set__(self, instance: models.Model, value: Any) -> None:
        setattr(instance, self.field.attname, value)


class EncryptedTextField(TextField):
    """Text that is encrypted when its row is saved and decrypted when the attribute is read.

    Its model needs a unique `public_id` that is known before the insert. `update()` and `filter()` take no
    plain text: they do not know the row. Empty text is stored as it is.
    """

    def get_attname(self) -> str:
        return f"sealed_{self.name}"

    def get_attname_column(self) -> tuple[str, str]:
        return self.get_attname(), self.db_column or self.name

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, name, _Text(self))

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        errors = list(super().check(**kwargs))
        try:
            self.model._meta.get_field("public_id")
        except FieldDoesNotExist:
            errors.append(
                Error("A model with an EncryptedTextField needs a public_id.", obj=self, id="csf.E012")
            )
        return errors

    def owner(self, instance: models.Model) -> str:
        return f"{self.model._meta.label}.{self.name}:{instance.public_id}"  # type: ignore[attr-defined]

    def from_db_value(self, value: str | None, *args: Any) -> Sealed | str | None:
        return Sealed(value) if value else value

    def to_python(self, value: Any) -> Any:
        return value if isinstance(value, Sealed) else super().to_python(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if isinstance(value, str) and value:
            return seal(value, owner=self.owner(model_instance))
        return value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Sealed):
            return value.token
        if value:
            raise TypeError(f"{self.name} is encrypted: set it on the row and save the row")
        return value

    def value_from_object(self, obj: models.Model) -> Any:
        return getattr(obj, self.name)

    def value_to_string(self, obj: models.Model) -> str:
        raise Unreadable(f"{self.name} is encrypted and is not part of a dump")


class ReadThrough(DeferredAttribute):
    """An attribute that is evaluated each time it is read: with `__set__` it takes precedence over the row's
    own."""

    field: Any

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = value


class _Unsealed(ReadThrough):
    def __get__(self, instance: models.Model | None, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        return unseal(value, owner=self.field.owner(instance)) if isinstance(value, Sealed) else value


class SealedCharField(models.CharField):  # type: ignore[type-arg] # not generic at run time
    """A secret in a table that is not ours, whose rows have no `public_id`: encrypted for its column."""

    descriptor_class = _Unsealed

    def owner(self, instance: models.Model | None) -> str:
        return f"{self.model._meta.label}.{self.name}"

    def from_db_value(self, value: str | None, *args: Any) -> Sealed | str | None:
        return Sealed(value) if value and value.startswith(f"{VERSION}:") else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Sealed):
            return value.token
        return seal(value, owner=self.owner(None)).token if value else value

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


def encrypted_fields() -> Iterator[EncryptedTextField | SealedCharField]:
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, EncryptedTextField | SealedCharField):
                yield field


def rotate(field: EncryptedTextField | SealedCharField) -> tuple[int, int]:
    """Encrypt every value of the field with the current key; returns how many were, and how many cannot be
    read.

    Each batch commits by itself and values under the current key are skipped, so a run that was stopped
    continues where it was.
    """
    done, unreadable, last_pk = 0, 0, 0
    while True:
        with transaction.atomic():
            rows = _under_older_keys(field, last_pk)
            if not rows:
                return done, unreadable
            for row in rows:
                try:
                    sealed = seal(getattr(row, field.name), owner=field.owner(row))
                except Unreadable:
                    unreadable += 1
                else:
                    done += field.model._default_manager.filter(pk=row.pk).update(**{field.name: sealed})
            last_pk = rows[-1].pk


def _under_older_keys(field: EncryptedTextField | SealedCharField, after_pk: int) -> list[models.Model]:
    older = (
        field.model._default_manager.annotate(stored_token=Cast(F(field.name), models.TextField()))
        .exclude(stored_token="")
        .exclude(stored_token__startswith=f"{VERSION}:{current_key_id()}:")
    )
    rows = older.filter(pk__gt=after_pk, stored_token__isnull=False).order_by("pk")
    return list(rows.select_for_update(of=("self",), no_key=True)[:BATCH])
