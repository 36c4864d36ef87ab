from pathlib import Path

import pytest

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Receiver, Shop, receiver


@pytest.fixture
def hook():
    with receiver() as server:
        yield server


def test_all_is_there_after_a_restart(tmp_path: Path, hook: Receiver):
    with StripeServer(data_dir=tmp_path) as server:
        shop = Shop(server)
        shop.listen(hook)
        hook.statuses = [500] * 3
        paid, waiting = shop.session("co:1"), shop.session("co:2")
        shop.pay(paid.id, "4000000000000002")
        shop.pay(paid.id)
        card, invoice = shop.saved_card(paid.customer), shop.invoice(paid.customer)
        shop.server.control("POST", f"/_cards/{card}", {"next": ["lost_card"]})
        shop.server.control("POST", "/_clock", {"advance": 600})
        before = server.books()
        tables = {name: dict(rows) for name, rows in server.state.store.tables.items()}

    with (tmp_path / "stripe.jsonl").open("a") as journal:
        journal.write('[["customer","cus_half",{"id":"cus_ha')  # killed while writing

    with StripeServer(data_dir=tmp_path) as server:
        shop = Shop(server)
        after = server.books()
        for name in ("posts", "charges", "invoices", "balance_cents"):
            assert after[name] == before[name]
        for name in (
            "customer",
            "payment_intent",
            "payment_method",
            "card",
            "charge",
            "idempotency_key",
            "webhook_secret",
        ):
            assert server.state.store.tables[name] == tables[name]
        assert after["now"] - before["now"] <= 2
        assert shop.customer().id == paid.customer
        assert shop.v.checkout.sessions.retrieve(waiting.id).url == f"{server.url}/pay/{waiting.id}"
        renewed = shop.v.invoices.retrieve(invoice.id)
        assert renewed.hosted_invoice_url == f"{server.url}/invoice/{invoice.id}"
        assert shop.decline(invoice.id, card)["decline_code"] == "lost_card"
        hook.wait_for(4)
        assert sorted(set(hook.types)) == [
            "charge.succeeded",
            "checkout.session.completed",
            "payment_intent.payment_failed",
            "payment_intent.succeeded",
        ]
        assert shop.pay(waiting.id).status_code == 303
        assert server.books()["balance_cents"] == {paid.customer: 18000}

    with StripeServer(data_dir=tmp_path, fresh=True) as server:
        assert Shop(server).v.customers.list().data == []
