"""Whether Stripe answers us, and whether its webhooks reach us."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from billing.events import webhook_health
from billing.stripe import breaker, secret_key
from csf.templatetags.csf_format import until
from notifications.alerts.rule import Symptom
from notifications.models import Alert

SILENT_FOR = timedelta(minutes=15)
AWAY_TODO = (
    "Check status.stripe.com, and whether this machine can reach api.stripe.com. Payments and charges "
    "wait and resume by themselves."
)
REFUSED_TODO = (
    "Compare the endpoint's signing secret in Stripe's dashboard with STRIPE_WEBHOOK_SECRET and run "
    "manage.py create_webhook_endpoint, or with --remote to create a new endpoint. If the secret is "
    "right, check the database's clock."
)
SILENT_TODO = (
    "Run manage.py create_webhook_endpoint --remote, and check the endpoint's failed deliveries in "
    "Stripe's dashboard. Nothing is lost: we ask Stripe every minute. After a restore or an outage this "
    "ends by itself."
)


def stripe_symptoms(now: datetime) -> Iterator[Symptom]:
    if breaker.is_away() and not secret_key.refusals().exists():
        yield Symptom("stripe_away", Alert.Level.PAGE, "Stripe is not responding", AWAY_TODO)
    if at := webhook_health.refused_at():
        text = f"a Stripe webhook was refused at {until(at)}: its signature does not match our secret"
        yield Symptom("webhook_refused", Alert.Level.PAGE, text.replace("\u00a0", " "), REFUSED_TODO)
    if missed := webhook_health.without_webhook(since=now - SILENT_FOR).count():
        text = f"no webhook reported {missed} Stripe events in the last 15 minutes"
        yield Symptom("webhook_silent", Alert.Level.WARNING, text, SILENT_TODO)
