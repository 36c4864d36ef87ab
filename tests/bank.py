"""Stripe in this process, for tests that make thousands of calls: it answers yes or no, and keeps books."""

import itertools
import time
from collections import Counter

from billing.stripe import gateway

_numbers = itertools.count(1)


def _id(prefix):
    return f"{prefix}_{next(_numbers)}"


class Bank:
    """Takes the place of `billing.stripe.gateway`'s functions. `says` are the answers to the next charges."""

    def __init__(self):
        self.sessions, self.invoices, self.refunds, self.seen = {}, {}, {}, {}
        self.says = []
        self.charged, self.refunded = Counter(), Counter()  # cents by PaymentIntent

    def install(self, monkeypatch):
        for name in [
            "create_customer",
            "create_checkout_session",
            "retrieve_checkout_session",
            "expire_checkout_session",
            "create_invoice",
            "add_invoice_line",
            "finalize_invoice",
            "pay_invoice",
            "void_invoice",
            "delete_draft",
            "retrieve_invoice",
            "find_invoice",
            "last_payment_error",
            "create_refund",
            "retrieve_refund",
            "find_refund",
            "intent_of_invoice",
            "invoice_of_intent",
        ]:
            monkeypatch.setattr(gateway, name, getattr(self, name))

    @property
    def kept_cents(self):
        return sum(self.charged.values()) - sum(self.refunded.values())

    def _once(self, key, make):
        if key not in self.seen:
            self.seen[key] = make()
        return self.seen[key]

    # --- Customers and payment pages ------------------------------------------------------------------------

    def create_customer(self, *, email, name, metadata, key):
        return self._once(key, lambda: {"id": _id("cus")})

    def create_checkout_session(self, params, *, key):
        def make():
            price = params["line_items"][0]["price_data"]
            session = {
                "id": _id("cs"),
                "url": "https://stripe.example/pay",
                "status": "open",
                "metadata": params["metadata"],
                "payment_intent": None,
                "cents": price["unit_amount"],
                "currency": price["currency"],
            }
            self.sessions[session["id"]] = session
            return session

        return self._once(key, make)

    def retrieve_checkout_session(self, session_id):
        return self.sessions[session_id]

    def expire_checkout_session(self, session_id, *, key):
        self.sessions[session_id]["status"] = "expired"
        return self.sessions[session_id]

    def pay_session(self, session_id):
        """A parent pays on the page: its PaymentIntent, or None if the bank or the page says no."""
        session = self.sessions[session_id]
        if session["status"] != "open" or self._next() != "ok":
            return None
        intent = {
            "id": _id("pi"),
            "status": "succeeded",
            "amount_received": session["cents"],
            "currency": session["currency"],
            "created": int(time.time()),
            "metadata": session["metadata"],
            "latest_charge": _id("ch"),
            "payment_method": {"id": _id("pm"), "card": {"brand": "visa", "last4": "4242", "exp_year": 2040}},
        }
        intent["payment_method"]["card"] |= {"exp_month": 12, "fingerprint": _id("fp")}
        session |= {"status": "complete", "payment_intent": intent}
        self.charged[intent["id"]] = session["cents"]
        return intent

    # --- Invoices -------------------------------------------------------------------------------------------

    def create_invoice(self, *, customer, currency, metadata, key):
        def make():
            invoice = {
                "id": _id("in"),
                "status": "draft",
                "customer": customer,
                "metadata": metadata,
                "currency": currency,
                "amount_due": 0,
                "amount_paid": 0,
                "created": int(time.time()),
                "hosted_invoice_url": "https://stripe.example/invoice",
                "intent": _id("pi"),
                "error": None,
            }
            self.invoices[invoice["id"]] = invoice
            return invoice

        return dict(self._once(key, make))

    def add_invoice_line(self, invoice_id, *, customer, amount_cents, currency, text, key):
        def make():
            self.invoices[invoice_id]["amount_due"] += amount_cents
            return {}

        return self._once(key, make)

    def finalize_invoice(self, invoice_id, *, key):
        self.invoices[invoice_id]["status"] = "open"
        return dict(self.invoices[invoice_id])

    def pay_invoice(self, invoice_id, *, card, key):
        def make():
            said = self._next()
            if said == "ok":
                return self._pay(invoice_id)
            self.invoices[invoice_id]["error"] = {"code": "card_declined", "decline_code": said}
            return None

        if (paid := self._once(key, make)) is None:
            raise gateway.Declined(self.invoices[invoice_id]["error"])
        return paid

    def pay_hosted(self, invoice_id):
        """A parent pays on the invoice's page."""
        return self._pay(invoice_id) if self.invoices[invoice_id]["status"] == "open" else None

    def _pay(self, invoice_id):
        invoice = self.invoices[invoice_id]
        assert invoice["status"] == "open"
        invoice |= {"status": "paid", "amount_paid": invoice["amount_due"], "error": None}
        self.charged[invoice["intent"]] += invoice["amount_due"]
        return dict(invoice)

    def void_invoice(self, invoice_id, *, key):
        if self.invoices[invoice_id]["status"] == "open":
            self.invoices[invoice_id]["status"] = "void"
        return dict(self.invoices[invoice_id])

    def retrieve_invoice(self, invoice_id):
        return dict(self.invoices[invoice_id])

    def delete_draft(self, invoice_id):
        self.invoices[invoice_id]["status"] = "deleted"

    def find_invoice(self, *, customer, installment, number):
        metadata = {"installment": installment, "number": str(number)}
        return next((dict(row) for row in self.invoices.values() if row["metadata"] == metadata), None)

    def last_payment_error(self, invoice_id):
        return self.invoices[invoice_id]["error"]

    # --- Refunds --------------------------------------------------------------------------------------------

    def create_refund(self, *, payment_intent, amount_cents, metadata, key):
        def make():
            left = self.charged[payment_intent] - self.refunded[payment_intent]
            assert amount_cents <= left, "more goes back than was paid"
            self.refunded[payment_intent] += amount_cents
            refund = {"id": _id("re"), "status": "succeeded", "metadata": metadata, "amount": amount_cents}
            self.refunds[refund["id"]] = refund | {"payment_intent": payment_intent}
            return self.refunds[refund["id"]]

        return self._once(key, make)

    def retrieve_refund(self, refund_id):
        return self.refunds[refund_id]

    def find_refund(self, *, payment_intent, refund):
        named = (row for row in self.refunds.values() if row["metadata"].get("refund") == refund)
        return next(named, None)

    def intent_of_invoice(self, invoice_id):
        return self.invoices[invoice_id]["intent"]

    def invoice_of_intent(self, payment_intent):
        named = (row["id"] for row in self.invoices.values() if row["intent"] == payment_intent)
        return next(named, None)

    def _next(self):
        return self.says.pop(0) if self.says else "ok"
