"""The stand-in's own books of requests and money moved, kept separately from the objects."""

import hashlib
from collections import defaultdict
from typing import Any

from demo.standins.stripe.objects.store import Obj, Store, new_id


def record_post(
    store: Store,
    *,
    path: str,
    key: str | None,
    body: bytes,
    status: int | None,
    replayed: bool,
    fault: str | None,
) -> None:
    """`status` is the one the caller received, or None if the connection was dropped."""
    row = {
        "at": store.now(),
        "method": "POST",
        "path": path,
        "key": key,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "status": status,
        "replayed": replayed,
        "fault": fault,
    }
    store.put("book_post", new_id("post"), row)


def record_charge(store: Store, charge: Obj) -> None:
    row = {
        "at": charge["created"],
        "id": charge["id"],
        "payment_intent": charge["payment_intent"],
        "customer": charge["customer"],
        "amount_cents": charge["amount"],
        "currency": charge["currency"],
        "succeeded": charge["paid"],
        "failure_code": charge["failure_code"],
        "metadata": dict(charge["metadata"]),
    }
    store.put("book_charge", charge["id"], row)


def record(store: Store, kind: str, obj: Obj, **facts: Any) -> None:
    """The latest state of an invoice, refund or dispute."""
    row = {"at": store.now(), "id": obj["id"], "status": obj["status"], "currency": obj["currency"], **facts}
    store.put(f"book_{kind}", obj["id"], row)


def balance_cents_by_customer(store: Store) -> dict[str, int]:
    """What each customer has paid minus refunds; money without a customer is under ''."""
    balances: defaultdict[str, int] = defaultdict(int)
    for row in store.tables["book_charge"].values():
        if row["succeeded"]:
            balances[row["customer"] or ""] += row["amount_cents"]
    returned = [
        row for row in store.tables["book_refund"].values() if row["status"] in ("pending", "succeeded")
    ]
    taken = [row for row in store.tables["book_dispute"].values() if row["status"] == "lost"]
    for row in (*returned, *taken):
        balances[row["customer"] or ""] -= row["amount_cents"]
    return dict(balances)


def invoices_by_installment(store: Store) -> dict[str, list[Obj]]:
    """Invoices that name no installment are under ''."""
    found: defaultdict[str, list[Obj]] = defaultdict(list)
    for row in store.tables["book_invoice"].values():
        found[row["metadata"].get("installment", "")].append(row)
    return dict(found)


def events(store: Store) -> list[Obj]:
    rows = [*store.tables["event"].values(), *store.tables["injected_event"].values()]
    return [
        {
            "id": event["id"],
            "type": event["type"],
            "created": event["created"],
            "object": event["data"]["object"].get("id"),
            "deliveries": store.get("delivery", event["id"]) or {},
        }
        for event in rows
    ]


def summary(store: Store) -> Obj:
    return {
        "now": store.now(),
        "posts": list(store.tables["book_post"].values()),
        "charges": list(store.tables["book_charge"].values()),
        "invoices": invoices_by_installment(store),
        "refunds": list(store.tables["book_refund"].values()),
        "disputes": list(store.tables["book_dispute"].values()),
        "balance_cents": balance_cents_by_customer(store),
        "events": events(store),
    }
