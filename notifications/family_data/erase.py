"""Erase a family: its personal data goes, its payments stay.

Rows of money, seats and states keep their numbers and dates, so books and invariants hold; every name,
address and telephone number in them goes. Open amounts in either direction must be settled first.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import make_password
from django.contrib.sessions.models import Session
from django.db import connection, models, transaction
from django.db.models import Q

from billing.events.stripe_copies import copies_that_name, delete_copies
from billing.ledger.credits import credit_account
from billing.models import (
    ChargeAttempt,
    Dispute,
    Installment,
    Refund,
    StripeCustomer,
    StripeEvent,
    StripeEventStatus,
)
from billing.models.charges import OPEN_CHARGE
from csf import clock
from csf.clock import Now
from csf.staff.tasks import close_settled
from enrollments.locks import lock_household
from enrollments.models import Child, EmergencyContact, Enrollment, GuardianInvitation, Household, User
from notifications.family_data.export import stripe_words
from notifications.family_data.rows import emails_of, family_models, notes_about, other_models, rows_of
from notifications.models import EmailEvent, EmailMessage, EmailStatus, Suppression
from orders.models import Order, OrderItem

GONE = "-"  # one character: it fits wherever a name was
ERASED = "Erased family"
NO_ADDRESS = "@erased.invalid"
OPEN_REFUND = ["requested", "approved", "sending", "unknown"]
SHORTEST_WORD = 2  # letters
CARD_NUMBERS = {"last4", "card_last4", "fingerprint"}
BY_COLUMN = (Household, User, Child, GuardianInvitation, EmailMessage)  # blanked whole, not word by word


class NotYet(Exception):
    """Money or a class is still open; each argument is a reason."""


@dataclass(frozen=True)
class Erased:
    rows: int
    remains: list[str]
    """What could not be erased here."""


def why_not_yet(household: Household) -> list[str]:
    today = clock.today()
    order = Q(order__household=household)
    open_rows = {
        "installments not settled": Installment.objects.open().filter(order),
        "charges with unknown outcome": ChargeAttempt.objects.filter(
            installment__order__household=household, status__in=OPEN_CHARGE
        ),
        "refunds in progress": Refund.objects.filter(order, status__in=OPEN_REFUND),
        "disputes": Dispute.objects.filter(payment__order__household=household, closed_at=None),
        "places in classes that have not ended": Enrollment.objects.live().filter(
            child__household=household, course__ends_on__gte=today
        ),
    }
    reasons = [f"{rows.count()} {name}" for name, rows in open_rows.items() if rows.exists()]
    return reasons + (
        ["credit that can be spent"] if credit_account(household, on=today).balance_cents else []
    )


def erase_family(household: Household) -> Erased:
    """Raises NotYet. Safe to repeat."""
    with transaction.atomic():
        household = lock_household(household.pk)
        if reasons := why_not_yet(household):
            raise NotYet(*reasons)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL csf.erasing = 'on'")  # facts may lose their words: append_only.py
        people = _People.of(household)
        rows = _delete_what_only_names(household, people)
        rows += sum(
            _blank_words(model, household, people.words)
            for model in family_models()
            if model not in BY_COLUMN
        )
        rows += sum(_blank_traces(model, household) for model in family_models())
        rows += _blank_emails(household, people)
        rows += _blank_mentions(household, people)
        _blank_people(household)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL csf.erasing = ''")
        close_settled()  # tasks about rows that no longer exist
    return Erased(rows, [*_remains(household), *_found_elsewhere(people.distinct)])


@dataclass(frozen=True)
class _People:
    words: list[str]
    """Every name, address and number of theirs, also of cards: blanked in their own rows."""
    distinct: list[str]
    """Those that name nobody else: blanked and looked for everywhere."""
    stripe: list[str]

    @classmethod
    def of(cls, household: Household) -> "_People":
        contacts = EmergencyContact.objects.filter(child__household=household)
        phones = list(contacts.values_list("phone", flat=True))
        people: list[Any] = [*household.guardians.all(), *household.children.all()]
        people += household.invitations.all()
        names = {name for row in people for name in (row.first_name, row.last_name)}
        names |= {row.name for row in contacts} | {household.name}
        emails = emails_of(household)
        cards = {f"ending in {card.last4}" for card in household.cards.all()}
        words = sorted({*names, *phones, *emails, *cards} - {"", GONE}, key=len, reverse=True)
        return cls(
            [word for word in words if len(word) >= SHORTEST_WORD],
            [*emails, *phones],
            stripe_words(household),
        )


def _delete_what_only_names(household: Household, people: _People) -> int:
    carts = Order.objects.carts().filter(household=household)
    users = User.objects.filter(household=household)
    found = [
        *copies_that_name(people.stripe),
        EmergencyContact.objects.filter(child__household=household),
        Authenticator.objects.filter(user__in=users),
        EmailAddress.objects.filter(user__in=users),
        Suppression.objects.filter(address__in=people.distinct),
        OrderItem.objects.filter(order__in=carts),
        carts,
        Session.objects.filter(pk__in=[*_sessions_of({str(user.pk) for user in users}, people.distinct)]),
    ]
    return delete_copies(found)


def _sessions_of(user_ids: set[str], addresses: Iterable[str]) -> Iterator[str]:
    """For someone signed in, and for anyone who entered one of the addresses to sign in."""
    for session in Session.objects.iterator():
        data = session.get_decoded()
        if data.get("_auth_user_id") in user_ids or any(address in str(data) for address in addresses):
            yield session.pk


def _blank_words(model: type[models.Model], household: Household, words: Iterable[str]) -> int:
    """Each word of theirs in each text of their rows, whatever the column is called."""
    rows = rows_of(model, household).order_by().values("pk")
    return sum(_replace(model, field, _pattern(words), rows) for field in _texts(model))


def _pattern(words: Iterable[str]) -> str:
    """Each of them as a whole word."""
    return r"(?<!\w)(" + "|".join(re.escape(word) for word in words) + r")(?!\w)"


def _texts(model: type[models.Model]) -> list[Any]:
    kinds = (models.CharField, models.TextField, models.JSONField)
    return [
        field
        for field in model._meta.local_concrete_fields
        if isinstance(field, kinds) and not field.choices and not field.unique and field.name != "password"
    ]


def _replace(model: type[models.Model], field: Any, pattern: str, rows: Any) -> int:
    """In the database, so that a large table does not come into memory. JSON stays JSON: a word with a quote
    is written otherwise there, so it is only reported at the end."""
    column, table = connection.ops.quote_name(field.column), connection.ops.quote_name(model._meta.db_table)
    cast = "::jsonb" if isinstance(field, models.JSONField) else ""
    ids, parameters = rows.query.sql_with_params()
    key = connection.ops.quote_name(str(model._meta.pk.column))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET {column} = regexp_replace({column}::text, %s, %s, 'gi'){cast} "  # noqa: S608
            f"WHERE {key} IN ({ids}) AND {column}::text ~* %s",
            [pattern, GONE, *parameters, pattern],
        )
        return int(cursor.rowcount)


def _blank_traces(model: type[models.Model], household: Household) -> int:
    """Data that identifies someone without a name: a card's number, a computer's address."""
    fields = model._meta.local_concrete_fields
    gone: dict[str, Any] = {field.name: "" for field in fields if field.name in CARD_NUMBERS}
    gone |= {field.name: None for field in fields if isinstance(field, models.GenericIPAddressField)}
    return rows_of(model, household).update(**gone) if gone else 0


def _blank_emails(household: Household, people: _People) -> int:
    invitations = household.invitations.values("pk")
    theirs = Q(recipient__household=household) | Q(recipient=None, to__in=people.distinct)
    theirs |= Q(kind="guardian_invitation", fact_id__in=invitations)
    emails = EmailMessage.objects.filter(pk__in=EmailMessage.objects.filter(theirs).values("pk"))
    emails.filter(status=EmailStatus.QUEUED).update(expires_at=Now())  # never to be sent
    blank = {"subject": "", "html": "", "text": "", "error": "", "secret": "", "context": {}}
    EmailEvent.objects.filter(address__in=people.distinct).update(address="", detail="")
    return emails.update(to=f"erased-{household.pk}{NO_ADDRESS}", **blank)


def _blank_mentions(household: Household, people: _People) -> int:
    """In what belongs to no family: their addresses and numbers anywhere, events of Stripe, and tasks and the
    office's log about their rows."""
    rows = sum(
        _replace(model, field, _pattern(people.distinct), model._default_manager.values("pk"))
        for model in other_models()
        for field in _texts(model)
    )
    done = [StripeEventStatus.PROCESSED, StripeEventStatus.IGNORED]
    for word in people.stripe:
        rows += StripeEvent.objects.filter(status__in=done, body__contains=word).update(body="")
    tasks, log = notes_about(household)
    rows += tasks.exclude(detail="").update(detail=GONE)
    return rows + log.update(object_repr=GONE, change_message="")


def _blank_people(household: Household) -> None:
    Household.objects.filter(pk=household.pk).update(name=ERASED)
    for user in User.objects.filter(household=household):
        user.email, user.first_name, user.last_name = f"erased-{user.pk}{NO_ADDRESS}", "", ""
        user.password, user.is_active = make_password(None), False
        user.save(update_fields=["email", "first_name", "last_name", "password", "is_active"])
    for child in Child.objects.filter(household=household):
        born_on = child.born_on.replace(month=1, day=1)
        Child.objects.filter(pk=child.pk).update(first_name=GONE, last_name="", born_on=born_on)
    GuardianInvitation.objects.filter(household=household).update(
        email=f"erased-{household.pk}{NO_ADDRESS}", first_name=GONE, last_name=""
    )


def _remains(household: Household) -> Iterator[str]:
    for customer in StripeCustomer.objects.filter(household=household):
        yield f"Stripe keeps the customer {customer.stripe_id}: delete it in Stripe's dashboard."
    yield "SendGrid keeps sent emails for up to 30 days. Backups keep everything until they are deleted."
    yield "Failed tasks in the queue may mention them for up to 14 days, until the purge."
    yield "The amounts, dates and numbers of orders, payments and refunds stay, for the books."


def _found_elsewhere(words: Iterable[str]) -> Iterator[str]:
    """Where the database still holds one of the words, in any table."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            for word in words:
                sql = f"SELECT count(*) FROM {name} AS row WHERE position(%s IN row::text) > 0"  # noqa: S608
                cursor.execute(sql, [word])
                if count := cursor.fetchone()[0]:
                    yield f"{count} rows of {table} still contain {word!r}: check them by hand."
