"""Everything that is stored of a family, as one file that a person and a program can read."""

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from billing.events.stripe_copies import copies_that_name
from billing.models import StripeCustomer
from enrollments.models import Household
from notifications.family_data.rows import emails_of, family_models, notes_about, rows_of

# Secrets that open an account are not data about a person.
SECRETS = {"password", "secret", "data", "key", "session_url"}


def export_family(household: Household) -> str:
    """JSON: the rows of each table by its name, what staff noted about them, and Stripe's objects as
    dj-stripe keeps them."""
    tables = {model._meta.label: _values(rows_of(model, household)) for model in family_models()}
    tables |= {rows.model._meta.label: _values(rows) for rows in notes_about(household)}
    copies = copies_that_name(stripe_words(household))
    stripe = {rows.model._meta.label: [row.stripe_data for row in rows] for rows in copies}
    found = {name: rows for name, rows in (tables | stripe).items() if rows}
    return json.dumps(found, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2) + "\n"


def stripe_words(household: Household) -> list[str]:
    """What Stripe's objects of the family hold: its customers and its addresses."""
    customers = StripeCustomer.objects.filter(household=household).values_list("stripe_id", flat=True)
    return [*filter(None, customers), *emails_of(household)]


def _values(rows: QuerySet[Any]) -> list[dict[str, Any]]:
    names = [field.attname for field in rows.model._meta.local_fields if field.name not in SECRETS]
    return [{name: getattr(row, name) for name in names} for row in rows]
