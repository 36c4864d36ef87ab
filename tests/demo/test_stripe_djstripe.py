"""dj-stripe takes each kind of object from the stand-in, by the events that we subscribe to."""

from collections.abc import Iterator

import pytest
from djstripe import models

from demo.standins.stripe.serve import StripeServer
from tests.demo.stripe_shop import Shop, play_everything
from tests.shop import accept

TYPES = """
    checkout.session.completed checkout.session.expired payment_intent.succeeded payment_intent.payment_failed
    invoice.paid invoice.payment_failed invoice.payment_action_required setup_intent.succeeded
    payment_method.automatically_updated refund.created refund.updated refund.failed charge.refunded
    charge.dispute.created charge.dispute.closed
""".split()


def _rows(shop: Shop) -> Iterator[tuple[str, str, dict]]:
    """What dj-stripe stored, beside what the API says: model, id, fields that differ."""
    v = shop.v
    for model, resource in (
        (models.Charge, v.charges),
        (models.Dispute, v.disputes),
        (models.Invoice, v.invoices),
        (models.PaymentIntent, v.payment_intents),
        (models.PaymentMethod, v.payment_methods),
        (models.Session, v.checkout.sessions),
        (models.SetupIntent, v.setup_intents),
    ):
        for row in model.objects.all():
            now = resource.retrieve(row.id).to_dict()
            status = {
                name: (row.stripe_data[name], now[name])
                for name in ("status", "amount_refunded", "amount_paid", "card", "metadata")
                if name in now and row.stripe_data[name] != now[name]
            }
            yield model.__name__, row.id, status


@pytest.mark.django_db
def test_each_event_is_stored_with_its_object(stripe_server: StripeServer):
    accept()
    shop = Shop(stripe_server)
    play_everything(shop)
    events = shop.v.events.list({"types": TYPES, "limit": 100}).data[::-1]
    assert {event.type for event in events} == set(TYPES)
    for event in events:
        models.Event.process(event.to_dict(for_json=True))  # as plain as in a webhook
    assert models.Event.objects.count() == len(events)

    rows = list(_rows(shop))
    assert [row for row in rows if row[2]] == []
    kinds = {model for model, _, _ in rows}
    assert kinds == {
        "Charge",
        "Dispute",
        "Invoice",
        "PaymentIntent",
        "PaymentMethod",
        "Session",
        "SetupIntent",
    }
    paid = shop.v.invoices.list({"status": "paid"}).data
    assert {invoice.id for invoice in paid} <= set(models.Invoice.objects.values_list("id", flat=True))
