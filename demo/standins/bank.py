"""The families' bank, behind the Stripe stand-in: its answers to their cards, and its charges."""

from typing import Any

import requests

KEY = "sk_test_bank"  # any test key opens the stand-in
Row = dict[str, Any]


def script_card(stripe: str, email: str, outcomes: list[str]) -> None:
    """Decide the outcomes of the next charges on this family's only card: decline codes, or "ok"."""
    [card] = _ask(stripe, f"/v1/customers/{_customer(stripe, email)}/payment_methods")["data"]
    answer = requests.post(f"{stripe}/_cards/{card['id']}", json={"next": outcomes}, timeout=10)
    answer.raise_for_status()


def charges_of(stripe: str, email: str) -> list[Row]:
    """Every charge attempted on this family's cards, `succeeded` or not."""
    customer = _customer(stripe, email)
    return [row for row in _ask(stripe, "/_books")["charges"] if row["customer"] == customer]


def refunds_of(stripe: str, email: str) -> list[Row]:
    """Each refund that reached this family."""
    customer = _customer(stripe, email)
    return [
        row
        for row in _ask(stripe, "/_books")["refunds"]
        if (row["customer"], row["status"]) == (customer, "succeeded")
    ]


def _customer(stripe: str, email: str) -> str:
    [customer] = _ask(stripe, "/v1/customers", {"email": email})["data"]
    return str(customer["id"])


def _ask(stripe: str, path: str, asked: dict[str, str] | None = None) -> Any:
    answer = requests.get(stripe + path, asked, headers={"Authorization": f"Bearer {KEY}"}, timeout=10)
    answer.raise_for_status()
    return answer.json()
