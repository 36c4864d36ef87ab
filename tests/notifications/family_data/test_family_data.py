"""A family's data is written out whole and erased whole: canary words wherever people type one."""

import json
import stat
from datetime import timedelta

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from billing.models import Consent, InstallmentNote, Payment, PaymentPlan, StripeEvent
from billing.task_kinds import MoneyTask
from csf.models import StaffTask
from csf.proofs.invariants import violations
from enrollments.accounts.addresses import change_address
from enrollments.models import Child, Course, Enrollment, GuardianInvitation, Household, User
from notifications.family_data.erase import erase_family
from notifications.family_data.export import export_family
from notifications.family_data.rows import family_models, paths_to_household
from notifications.models import EmailMessage, Suppression
from notifications.sending.drain import drain
from notifications.task_kinds import EmailTask
from tests.dumps import tables_that_hold
from tests.factories import create_card, create_contact, create_household, create_order, create_staff
from tests.shop import Shop, accept, hear, open_page

FIRST, LAST, MAIL, PHONE = "Quetzalina", "Zwetschkenbaum", "canary-parent@example.org", "+43 660 9988776"
CARD, COMPUTER = "§391", "198.51.100.77"  # four digits alone stand in many a timestamp
CANARIES = [FIRST, LAST, MAIL, PHONE, CARD, COMPUTER, "Contactia", "Invitara"]

pytestmark = pytest.mark.django_db


def named(first_name):
    return {"first_name": first_name, "last_name": LAST}


@pytest.fixture
def shop(stripe_server):
    accept()
    return Shop(stripe_server)


def family(shop):
    """A family that has been everywhere: paid, invited, noted, mailed, refused, looked at by the office."""
    household = create_household(name=LAST)
    guardian = household.guardians.get()
    User.objects.filter(pk=guardian.pk).update(email=MAIL, first_name=FIRST)
    guardian.emailaddress_set.create(email=MAIL, primary=True, verified=True)
    child = household.children.get()
    Child.objects.filter(pk=child.pk).update(first_name=FIRST)
    child.emergency_contacts.all().delete()
    create_contact(child=child, name=f"Contactia {LAST}", phone=PHONE, relationship="Contactia")
    GuardianInvitation.objects.create(
        household=household, invited_by=guardian, email="invitara@example.org", **named("Invitara")
    )
    order = create_order(household=Household.objects.get(pk=household.pk))
    shop.pay(open_page(order))
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    create_card(order, last4=CARD, fingerprint=f"print-{CARD}")
    Consent.objects.create(
        order=order,
        plan=PaymentPlan.objects.get_or_create(name="Two parts", defaults={"parts": 2})[0],
        given_by=guardian,
        text=f"Visa ending in {CARD}",
        given_at=order.placed_at,
        address=COMPUTER,
    )
    part = order.installments.get()
    InstallmentNote.objects.create(
        installment=part, by=create_staff(), text=f"{FIRST} {LAST} called from {PHONE}"
    )
    Suppression.objects.create(address=MAIL, scope="all", cause="hard_bounce", detail=f"550 {MAIL}")
    StaffTask.open(EmailTask.EMAIL_FAILED, EmailMessage.objects.first(), f"{MAIL} refused")
    StaffTask.open(MoneyTask.UNMATCHED_PAYMENT, order, f"{FIRST} called twice")
    LogEntry.objects.create(
        user=create_staff(),
        content_type=ContentType.objects.get_for_model(Household),
        object_id=str(household.pk),
        object_repr=household.name,
        action_flag=CHANGE,
        change_message=f"{FIRST} changed",
    )
    Client().post("/account/login/code/", {"email": MAIL})
    return household, order


def let_it_end(order):
    Course.objects.update(
        starts_on=timezone.localdate() - timedelta(weeks=20),
        ends_on=timezone.localdate() - timedelta(weeks=2),
    )
    return order


@pytest.fixture
def erasable(shop, mail_server):
    household, order = family(shop)
    drain()
    return household, let_it_end(order)


def test_everything_of_a_family_is_in_its_export_and_nothing_of_another(erasable, tmp_path):
    household, order = erasable
    create_household(name="Elsewhere")
    file = tmp_path / "family.json"

    call_command("export_family", MAIL.upper(), str(file))

    text, found = file.read_text(), json.loads(file.read_text())
    for word in [*CANARIES, order.number, f"{FIRST} called twice", f"{FIRST} changed"]:
        assert word in text, word
    assert "Elsewhere" not in text
    assert "argon2" not in text
    assert {"enrollments.Child", "billing.Payment", "notifications.EmailMessage", "djstripe.Customer"} <= set(
        found
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="File exists"):
        call_command("export_family", str(household.pk), str(file))


def test_who_a_family_is_is_gone_from_every_table_and_the_money_stays(erasable, capsys):
    household, order = erasable
    other = create_household(name=LAST)  # a namesake, whom nothing may touch
    User.objects.filter(household=other).update(first_name=FIRST)
    before = list(Payment.objects.values("pk", "amount_cents", "currency", "received_at", "order"))
    broken = violations()
    assert {word for word in CANARIES if [*tables_that_hold(word)]} == set(CANARIES)

    call_command("erase_family", str(household.pk), "--yes")

    out = capsys.readouterr().out
    assert "still contain" not in out
    assert "Stripe keeps the customer cus_" in out
    other.guardians.update(first_name="Pat", last_name="Elsewhere")
    other.children.update(last_name="Elsewhere")
    Household.objects.filter(pk=other.pk).update(name="Elsewhere family")
    for word in CANARIES:
        assert [*tables_that_hold(word)] == [], word
    assert list(Payment.objects.values("pk", "amount_cents", "currency", "received_at", "order")) == before
    assert violations() == broken
    order.refresh_from_db()
    assert (order.status, order.total_cents) == ("confirmed", 14400)
    assert not User.objects.get(household=household).is_active
    assert not Session.objects.exists(), "of whoever typed the address to sign in"


def test_nothing_of_a_namesake_is_touched(erasable):
    other = create_household(name=LAST)
    User.objects.filter(household=other).update(first_name=FIRST)

    call_command("erase_family", MAIL, "--yes")

    assert list(other.guardians.values_list("first_name", "last_name")) == [(FIRST, LAST)]
    other.refresh_from_db()
    assert other.name == f"{LAST} family"


def test_nothing_of_a_family_that_was_invited_or_has_an_old_address_now_is_touched_or_shown(erasable, shop):
    """Both have an address that the family once wrote or was written to at."""
    household, _order = erasable
    lead = household.guardians.get()
    others = [create_household(name=name) for name in ("Invitedson", "Nextowner")]
    for other, address in zip(others, ["invitedson@example.org", MAIL], strict=True):
        if address == MAIL:
            change_address(user=lead, to="canary-later@example.org")
        user = other.guardians.get()
        user.emailaddress_set.all().delete()
        User.objects.filter(pk=user.pk).update(email=address)
        user.emailaddress_set.create(email=address, primary=True, verified=True)
        Suppression.objects.create(address=address, scope="non_essential", cause="staff")
        shop.pay(open_page(create_order(household=Household.objects.get(pk=other.pk))))
    hear(shop, "checkout.session.completed", "payment_intent.succeeded")
    GuardianInvitation.objects.create(
        household=household, invited_by=lead, email="invitedson@example.org", **named("Invitedson")
    )
    theirs = EmailMessage.objects.filter(recipient__household__in=others).exclude(kind="guardian_invitation")
    kept = list(theirs.order_by("pk").values("to", "context"))
    assert {row["to"] for row in kept} == {"invitedson@example.org", MAIL}

    text = export_family(household)
    erased = erase_family(household)

    assert "Nextowner" not in text
    for other in others:
        assert other.orders.get().number not in text
    assert list(theirs.order_by("pk").values("to", "context")) == kept
    assert Suppression.objects.filter(scope="non_essential").count() == 2
    assert not EmailMessage.objects.filter(kind="guardian_invitation").exclude(context={}).exists()
    assert not [line for line in erased.remains if "still contain" in line]


def test_an_erased_family_gets_no_email_and_nobody_signs_in(erasable, mail_server):
    mail_server.reset()

    call_command("erase_family", MAIL, "--yes")
    Client().post("/account/login/code/", {"email": MAIL})
    drain()

    assert [
        (mail["to"], mail["subject"]) for mail in mail_server.messages() if "invalid" in str(mail["to"])
    ] == []
    assert not EmailMessage.objects.filter(kind="account_login_code", to=MAIL).exists()


def test_it_refuses_while_money_or_a_class_is_open_and_asks_before_it_acts(shop, mail_server, capsys):
    household, order = family(shop)
    with pytest.raises(CommandError, match="1 places in classes that have not ended"):
        call_command("erase_family", MAIL, "--yes")
    let_it_end(order)
    unpaid = create_order(household=household)
    with pytest.raises(CommandError, match="1 installments not settled"):
        call_command("erase_family", MAIL, "--yes")
    Enrollment.objects.filter(order_item__order=unpaid).update(
        status="released", seat_number=None, expires_at=None
    )
    unpaid.installments.update(status="cancelled")

    call_command("erase_family", MAIL)

    assert "would be erased for good" in capsys.readouterr().out
    assert Household.objects.filter(guardians__email=MAIL).exists()
    with pytest.raises(CommandError, match="There is no family"):
        call_command("erase_family", "nobody@example.org", "--yes")


def test_facts_keep_refusing_changes_after_an_erasure(erasable):
    call_command("erase_family", MAIL, "--yes")
    with pytest.raises(IntegrityError), transaction.atomic():
        InstallmentNote.objects.update(text="changed")


def test_every_table_with_a_way_to_a_family_is_covered():
    found = {model._meta.label for model in family_models()}

    assert {"orders.Order", "billing.Refund", "notifications.EmailAttempt", "account.EmailAddress"} <= found
    assert not {"enrollments.Course", "billing.Closure", "billing.PaymentPlan"} & found
    assert "order__household" in paths_to_household(Payment)
    assert StripeEvent not in family_models()
