"""`create_webhook_endpoint --remote`: creates our endpoint at Stripe, and brings the one that is there up to
date."""

import pytest
from django.core.management import CommandError, call_command
from djstripe.models import WebhookEndpoint

from billing.stripe.event_types import EVENT_TYPES
from tests.shop import at_stripe
from tests.stripe_events import PATH, UUID

pytestmark = pytest.mark.django_db


@pytest.fixture
def create(shop, settings, capsys):
    """Runs the command and gives what it says was done."""
    settings.STRIPE_WEBHOOK_UUID, settings.SITE_URL = UUID, "https://example.org"
    WebhookEndpoint.objects.all().delete()

    def run():
        call_command("create_webhook_endpoint", "--remote")
        return capsys.readouterr().out.splitlines()[1]

    return run


@pytest.fixture
def there(shop):
    """The endpoints at Stripe, newest first."""
    return lambda: at_stripe(shop, "GET", "/v1/webhook_endpoints")["data"]


def posts(shop):
    return [row for row in shop.server.books()["posts"] if "webhook_endpoints" in row["path"]]


def test_it_is_created_once_however_often_it_is_asked_for(shop, create, there):
    assert create() == "Created at Stripe."
    assert create() == "Nothing to change."

    [endpoint] = there()
    stored = WebhookEndpoint.objects.get()
    assert (endpoint["url"], sorted(endpoint["enabled_events"])) == (
        f"https://example.org{PATH}",
        sorted(EVENT_TYPES),
    )
    assert (stored.id, stored.secret[:6], str(stored.djstripe_uuid)) == (endpoint["id"], "whsec_", UUID)
    assert len(posts(shop)) == 1


def test_new_types_of_events_are_added_and_it_is_switched_on_again(shop, create, there):
    create()
    secret = WebhookEndpoint.objects.get().secret
    old = {"enabled_events[0]": "invoice.paid", "enabled_events[1]": "charge.failed", "disabled": "true"}
    at_stripe(shop, "POST", f"/v1/webhook_endpoints/{there()[0]['id']}", **old)

    done = create()

    added = ", ".join(sorted(set(EVENT_TYPES) - {"invoice.paid"}))
    assert done == f"Added: {added}. Removed: charge.failed. Turned on again."
    [endpoint] = there()
    assert (sorted(endpoint["enabled_events"]), endpoint["status"]) == (sorted(EVENT_TYPES), "enabled")
    assert WebhookEndpoint.objects.get().secret == secret


def test_one_that_was_deleted_at_stripe_is_created_again_on_the_same_day(shop, create, there):
    create()
    [old] = there()
    at_stripe(shop, "DELETE", f"/v1/webhook_endpoints/{old['id']}")

    assert create() == "Created at Stripe."

    assert [row["id"] for row in there()] == [WebhookEndpoint.objects.get().id] != [old["id"]]


def test_one_whose_secret_is_not_known_is_replaced(shop, create, there):
    create()
    [old] = there()
    WebhookEndpoint.objects.all().delete()

    assert create() == f"Created at Stripe. Deleted {old['id']}, which it replaces."

    assert [row["id"] for row in there()] == [WebhookEndpoint.objects.get().id] != [old["id"]]


@pytest.mark.parametrize("is_current", [True, False])
def test_one_that_was_made_by_hand_is_kept_unless_its_api_version_is_another(
    shop, create, there, settings, is_current
):
    settings.STRIPE_WEBHOOK_SECRET = "whsec_from_the_dashboard"
    version = settings.STRIPE_API_VERSION if is_current else "2024-06-20"
    url = f"https://example.org{PATH}"
    by_hand = {"url": url, "enabled_events[0]": "*", "api_version": version}
    at_stripe(shop, "POST", "/v1/webhook_endpoints", **by_hand)
    [old] = there()

    done = create()

    [endpoint], stored = there(), WebhookEndpoint.objects.get()
    assert (endpoint["id"], endpoint["api_version"]) == (stored.id, settings.STRIPE_API_VERSION)
    assert (endpoint["id"] == old["id"], stored.secret == "whsec_from_the_dashboard") == (is_current,) * 2
    assert ("Removed: *." if is_current else f"Deleted {old['id']}") in done


def test_a_full_account_is_said_and_nothing_is_stored(shop, create):
    for number in range(16):
        other = {"url": f"https://example.org/{number}", "enabled_events[0]": "*"}
        at_stripe(shop, "POST", "/v1/webhook_endpoints", **other)

    with pytest.raises(CommandError, match="Stripe refused: You have reached the maximum of 16"):
        create()
    assert not WebhookEndpoint.objects.exists()
