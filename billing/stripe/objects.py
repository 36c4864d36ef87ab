"""What an object of Stripe's says, in our terms."""

import datetime
import uuid
from collections.abc import Mapping
from typing import Any


def uuid_in(thing: Mapping[str, Any], name: str) -> uuid.UUID | None:
    """The public id of a row of ours that an object's metadata names."""
    try:
        return uuid.UUID(str((thing.get("metadata") or {}).get(name, "")))
    except ValueError:
        return None


def instant(epoch: int) -> datetime.datetime:
    """Stripe's seconds since 1970 as UTC."""
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC)
