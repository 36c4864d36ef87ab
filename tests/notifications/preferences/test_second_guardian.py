"""Which guardians of a family get its emails: the lead, readers of copies, and who orders and pays."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.checkout.payment_page import payment_page
from billing.checkout.place_order import place_order
from billing.models import Credit, Installment, InstallmentStatus
from enrollments.models import Household, User
from notifications.daily.overdue import process_overdue_installments
from notifications.daily.reminders import send_card_notices, send_installment_reminders
from notifications.facts.readers import leads
from notifications.facts.recipients import guardians
from notifications.models import EmailMessage, EmailPreference
from notifications.preferences.rules import COPIES, choose
from tests.bench.rows import create_courses, create_families, create_orders
from tests.factories import (
    create_card,
    create_cart,
    create_consent,
    create_course,
    create_guardian,
    create_household,
    create_order,
    create_staff,
)
from tests.notifications.preferences.guardians import DAY, DUE, owed, reader, signed_in
from tests.shop import hear
from tests.staff_forms import page_of, press

# --- Who gets copies ----------------------------------------------------------------------------------------


def test_the_first_guardian_and_who_wants_copies_read_the_familys_emails(household):
    first = household.guardians.get()
    second = create_guardian(household=household)
    third = reader(household)
    reader(household, is_active=False)
    reader(create_household())
    assert guardians(household) == [first, third]

    choose(second, COPIES, is_on=True, origin="page")
    choose(third, COPIES, is_on=False, origin="page")
    choose(first, COPIES, is_on=False, origin="page")
    assert guardians(household) == [first, second]

    Credit.objects.create(household=household, amount_cents=500, cause="granted", reason="sorry")
    rows = EmailMessage.objects.filter(kind="credit_added")
    assert [row.recipient for row in rows.order_by("pk")] == [first, second]
    assert len(set(rows.values_list("dedupe_key", flat=True))) == 2
    assert {row.context["first_name"] for row in rows} == {"Pat"}


def test_a_first_guardian_who_was_shut_out_gets_no_more_emails(household):
    """Two parents, a court's decision: the office unticks 'active' for the one who signed up first."""
    first, second = household.guardians.get(), create_guardian(household=household)
    choose(first, COPIES, is_on=True, origin="page")
    with_part(household)

    User.objects.filter(pk=first.pk).update(is_active=False)
    send_installment_reminders(on=DUE - 2 * DAY)
    send_card_notices(on=DUE - 2 * DAY)

    assert (guardians(household), household.email) == ([second], second.email)
    assert owed("installment_reminder") == owed("card_expiring") == [second.email]
    assert not leads(first)
    assert signed_in(second).get("/account/emails/").context["leads"]


def test_the_office_changes_who_leads_with_a_reason(household, admin_client):
    first, second = household.guardians.get(), create_guardian(household=household, first_name="Robin")
    third = create_guardian(household=household, first_name="Sam", is_active=False)
    page = page_of(household, "lead", "guardians")
    assert page in admin_client.get(f"/admin/enrollments/household/{household.pk}/change/").text

    for refused in (
        {"lead": second.pk, "reason": " "},
        {"lead": third.pk, "reason": "x"},
        {"lead": first.pk},
    ):
        assert press(admin_client, page, **refused).status_code == 200
    assert guardians(household) == [first]

    press(admin_client, page, lead=second.pk, reason="asked on the phone")
    assert (guardians(household), household.email) == ([second], second.email)
    assert not signed_in(first).get("/account/emails/").context["leads"]
    history = admin_client.get(f"/admin/enrollments/household/{household.pk}/history/").text
    assert "leads from now on: asked on the phone" in history

    User.objects.filter(pk=second.pk).update(is_active=False)  # who came first leads again
    assert guardians(household) == [first]

    User.objects.filter(pk=second.pk).update(is_active=True)
    press(admin_client, page, lead=first.pk, reason="back again")
    assert guardians(household) == [first]


def test_who_may_not_change_families_changes_no_lead(household, client):
    staff = create_staff(is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename="view_household"))
    client.force_login(staff)
    other = create_guardian(household=household)

    page = page_of(household, "lead", "guardians")
    assert client.post(page, {"lead": other.pk, "reason": "x"}).status_code == 403
    assert guardians(household) == [household.guardians.first()]


def test_a_guardian_who_orders_and_pays_gets_what_is_about_it(household, shop):
    """The second guardian, who does not want copies of everything, buys a class."""
    first, second = household.guardians.get(), create_guardian(household=household)
    order = create_cart(household=household, courses=[create_course(sessions=10)])
    place_order(order=order, by=second, now=timezone.now())
    shop.pay(payment_page(order=order, by=second, now=timezone.now()))
    hear(shop, "payment_intent.succeeded")

    for kind in ("order_confirmation", "payment_success", "enrollment_confirmation"):
        assert owed(kind) == sorted([first.email, second.email])

    Credit.objects.create(household=household, amount_cents=500, cause="granted", reason="sorry")
    assert owed("credit_added") == [first.email]


def test_who_left_the_family_gets_no_receipt_of_it(household, shop):
    first, second = household.guardians.get(), create_guardian(household=household)
    order = create_cart(household=household)
    place_order(order=order, by=second, now=timezone.now())
    page = payment_page(order=order, by=second, now=timezone.now())
    User.objects.filter(pk=second.pk).update(household=create_household())
    shop.pay(page)
    hear(shop, "payment_intent.succeeded")

    assert owed("payment_success") == [first.email]


def with_part(household, *, card=True):
    order = create_order(household=household)
    order.installments.update(status=InstallmentStatus.PAID)
    order.confirm(reason="paid")
    if card:
        create_card(order, exp_month=1, exp_year=2027)
    return Installment.objects.create(
        order=order, number=2, due_on=DUE, amount_cents=5_000, consent=create_consent(order)
    )


def test_the_daily_jobs_write_to_each_of_them_once(household):
    part = with_part(household)
    first, second = household.guardians.get(), reader(household, first_name="Robin")
    create_guardian(household=household)

    for _ in range(2):
        send_installment_reminders(on=DUE - 2 * DAY)
        send_card_notices(on=DUE - 2 * DAY)
        Installment.objects.filter(pk=part.pk).update(status=InstallmentStatus.NEEDS_CARD)
        process_overdue_installments(on=DUE + 3 * DAY)
        Installment.objects.filter(pk=part.pk).update(status=InstallmentStatus.SCHEDULED)

    both = sorted([first.email, second.email])
    for kind in ("installment_reminder", "card_expiring", "overdue_notice"):
        assert owed(kind) == both
    copy = EmailMessage.objects.get(kind="installment_reminder", recipient=second)
    assert copy.context["first_name"] == "Robin"
    assert (
        copy.context | {"first_name": "Pat"}
        == EmailMessage.objects.get(kind="installment_reminder", recipient=first).context
    )


def test_who_switches_copies_on_later_is_told_only_of_what_is_told_to_nobody_yet(household):
    with_part(household)
    second = create_guardian(household=household)
    send_installment_reminders(on=DUE - 3 * DAY)
    assert owed("installment_reminder") == [household.email]

    choose(second, COPIES, is_on=True, origin="page")
    send_installment_reminders(on=DUE - 2 * DAY)

    assert owed("installment_reminder") == sorted([household.email, second.email])


@pytest.mark.django_db
def test_two_readers_a_family_cost_no_statement_more():
    firsts = create_families(300)
    create_orders(firsts, create_courses(4))
    Installment.objects.bulk_create(
        Installment(order=order, number=2, due_on=DUE, amount_cents=5_000)
        for household in Household.objects.filter(guardians__in=firsts)
        for order in household.orders.all()
    )
    for household in Household.objects.filter(guardians__in=firsts):
        household.orders.update(status="confirmed")

    def statements():
        with CaptureQueriesContext(connection) as captured:
            send_installment_reminders(on=DUE - 2 * DAY)
        return len(captured)

    one = statements()
    owed_before = EmailMessage.objects.count()
    EmailMessage.objects.all().delete()
    seconds = User.objects.bulk_create(
        User(household_id=user.household_id, email=f"second{user.pk}@example.org") for user in firsts
    )
    EmailPreference.objects.bulk_create(
        EmailPreference(user=user, choice=COPIES, is_on=True, origin="page") for user in seconds
    )

    assert statements() == one
    assert EmailMessage.objects.count() == 2 * owed_before > 0
