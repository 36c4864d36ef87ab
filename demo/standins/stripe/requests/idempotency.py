"""Idempotency keys: for a day, every request with a key gets the first answer."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from demo.standins.stripe.objects.errors import key_in_use, key_reused
from demo.standins.stripe.objects.store import Obj, Store

KEPT_SECONDS = 24 * 3600


def fingerprint(method: str, path: str, params: Obj) -> str:
    return hashlib.sha256(json.dumps([method, path, params], sort_keys=True).encode()).hexdigest()


def stored_answer(store: Store, key: str, print_: str) -> Obj | None:
    """`status`, `body` and `request_id` of the first call; an error if its parameters were different."""
    row = store.get("idempotency_key", key)
    if row is None:
        return None
    if store.now() - row["created"] >= KEPT_SECONDS:
        store.delete("idempotency_key", key)
        return None
    if row["fingerprint"] != print_:
        raise key_reused(key)
    return row


def store_answer(store: Store, key: str, print_: str, *, status: int, body: str, request_id: str) -> None:
    row = {
        "created": store.now(),
        "fingerprint": print_,
        "status": status,
        "body": body,
        "request_id": request_id,
    }
    store.put("idempotency_key", key, row)


class InFlight:
    """Keys of the requests being answered now."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    @contextmanager
    def hold(self, key: str | None) -> Iterator[None]:
        if key is None:
            yield
            return
        if key in self._keys:
            raise key_in_use(key)
        self._keys.add(key)
        try:
            yield
        finally:
            self._keys.discard(key)
