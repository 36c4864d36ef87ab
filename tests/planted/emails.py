"""Emails and their posts, what is kept, and the office's tasks, jobs and queue."""

from django.utils import timezone
from django_q.models import Schedule

from billing.models import InstallmentTransition, Payment, Refund, StripeEvent
from billing.task_kinds import MoneyTask
from csf.clock import Now
from csf.jobs.queue import enqueue
from csf.jobs.schedules import sync_schedules
from csf.models import FormPress, Instance, JobRun, StaffTask
from notifications.models import (
    EmailAct,
    EmailAttempt,
    EmailEvent,
    EmailMessage,
    EmailPreference,
    Suppression,
)
from orders.models import Order, cart_of
from tests.factories import create_staff
from tests.planted.places import offer
from tests.planted.school import (
    DAY,
    HOUR,
    change,
    family,
    guardian,
    order_of,
    part,
    sql,
    today,
    without_trigger,
)


def email(kind, name="Paid"):
    return EmailMessage.objects.filter(kind=kind, recipient=guardian(name)).earliest("pk")


def copy_of(original, **fields):
    """Owed a moment ago."""
    values = {
        "kind": original.kind,
        "to": original.to,
        "fact_id": original.fact_id,
        "recipient": original.recipient,
        "context": original.context,
        "dedupe_key": f"copy of {original.pk}",
    }
    return EmailMessage.objects.create(**values | fields)


# --- Facts --------------------------------------------------------------------------------------------------


def resent_without_a_reason():
    original = email("payment_success")
    copy_of(original, resend_of=original)
    EmailAct.objects.create(message=original, act="resent", by=create_staff())


def sent_twice():
    copy_of(email("payment_success"))


def email_of_no_kind():
    copy_of(email("order_confirmation"), kind="order_conformation", fact_id=0)


def email_without_a_fact():
    copy_of(email("order_confirmation"), fact_id=0)


def email_older_than_its_fact():
    change(email("order_confirmation"), created_at=Now() - DAY)


def email_with_another_amount():
    sent = email("payment_success")
    change(sent, context=sent.context | {"amount_cents": 1})


def unsent(kind, name):
    def plant():
        sent = EmailMessage.objects.filter(kind=kind, recipient=guardian(name))
        EmailAttempt.objects.filter(message__in=sent).delete()
        assert sent.delete()[0]

    plant.__name__ = f"unsent_{kind}"
    return plant


def unsent_offer():
    offer(0, reason="a twin is enrolled")
    assert EmailMessage.objects.filter(kind="waitlist_offer").delete()[0]


def sent_to_another_family():
    other = guardian("Promo")
    change(email("payment_success"), recipient=other, to=other.email)


def sent_to_another_address():
    change(email("payment_success"), to="somebody@example.net")


def sent_to_an_account_without_a_family():
    staff = create_staff()
    change(email("waitlist_joined", "First"), recipient=staff, to=staff.email)


def staff_email_to_a_family():
    reader = guardian("Paid")
    EmailMessage.objects.create(
        kind="staff_invitation",
        to=reader.email,
        recipient=reader,
        fact_id=reader.pk,
        context={},
        dedupe_key="x",
    )


# --- Posts --------------------------------------------------------------------------------------------------


def late_in_the_queue():
    change(email("payment_success"), status="queued", next_attempt_at=Now() - HOUR)


def lost_lease():
    change(email("payment_success"), status="sending", leased_until=Now() - HOUR)


def sending_without_a_lease():
    change(email("payment_success"), status="sending", leased_until=None)


def undecided():
    change(email("payment_success"), status="unknown", posting_at=Now() - HOUR)


def failed_in_silence():
    change(email("payment_success"), status="failed")


def failed_after_the_task_was_closed():
    sent = email("payment_success")
    EmailMessage.report_failed(sent.kind, "a broken template")
    StaffTask.objects.filter(kind="email_failed").update(closed_at=Now() - DAY)
    change(sent, status="failed")


def bounced_in_silence():
    change(email("payment_success"), status="bounced")


def dropped_in_silence():
    change(email("payment_success"), status="dropped")


def event_not_taken_in():
    EmailEvent.objects.create(key="1", name="delivered", happened_at=Now(), received_at=Now() - 2 * HOUR)


def posted(kind, *outcomes):
    sent = email(kind)
    sent.attempts.update(outcome=outcomes[0])
    for outcome in outcomes[1:]:
        EmailAttempt.objects.create(message=sent, outcome=outcome)


def posted_while_open():
    posted("order_confirmation", "open", "sent")


def posted_after_it_was_taken():
    posted("order_confirmation", "sent", "sent")


def copied_twice():
    posted("order_confirmation", "unknown", "unknown", "sent")


def copied_though_it_confuses():
    posted("payment_success", "unknown", "sent")


def sent_without_a_post():
    email("payment_success").attempts.all().delete()


def posted_too_late():
    change(email("order_confirmation"), expires_at=Now() - HOUR)


def reminded_of_what_was_paid():
    second = part("Paid", 2)
    without_trigger(InstallmentTransition.objects.filter(installment=second), created_at=Now() - HOUR)
    sent = copy_of(email("order_confirmation"), kind="installment_reminder", fact_id=second.pk, status="sent")
    EmailAttempt.objects.create(message=sent, outcome="sent")


def suppressed(scope, kind="payment_success"):
    sent = email(kind)
    Suppression.objects.create(address=sent.to.lower(), scope=scope, cause="staff", began_at=Now() - HOUR)
    return sent


def posted_to_who_takes_none():
    suppressed("all")


def reminded_who_complained():
    sent = copy_of(email("order_confirmation"), kind="installment_reminder", fact_id=0, status="sent")
    EmailAttempt.objects.create(message=sent, outcome="sent")
    suppressed("non_essential")


def posted_what_was_switched_off():
    sent = copy_of(email("order_confirmation"), kind="installment_reminder", status="sent", fact_id=0)
    EmailAttempt.objects.create(message=sent, outcome="sent")
    EmailPreference.objects.create(user=sent.recipient, choice=sent.kind, is_on=False)
    EmailPreference.objects.update(changed_at=timezone.now() - HOUR)


def posted_in_quarantine():
    Instance.begin()
    Instance.objects.update(quarantined_at=Now() + HOUR)
    EmailAttempt.objects.create(
        message=copy_of(email("order_confirmation"), kind="newsletter", fact_id=0, status="sent"),
        outcome="sent",
        posted_at=Now() + 2 * HOUR,
    )


# --- What is kept -------------------------------------------------------------------------------------------


def code(**fields):
    """A sign-in code that was asked for a moment ago."""
    reader = guardian("Paid")
    values = {"kind": "account_login_code", "to": reader.email, "recipient": reader, "fact_id": reader.pk}
    return EmailMessage.objects.create(
        **values | {"context": {}, "dedupe_key": "code", "secret": "493811"} | fields
    )


def secret_of_a_finished_email():
    EmailAttempt.objects.create(message=code(status="sent"), outcome="sent")


def text_of_a_finished_code():
    EmailAttempt.objects.create(message=code(status="sent", secret="", text="493811"), outcome="sent")


def secret_in_the_clear():
    sql(f"UPDATE notifications_emailmessage SET secret = '493811' WHERE id = {code().pk}")


def secret_of_another_row():
    mine, other = code(), code(dedupe_key="another")
    sql(
        "UPDATE notifications_emailmessage SET secret = "
        f"(SELECT secret FROM notifications_emailmessage WHERE id = {other.pk}) WHERE id = {mine.pk}"
    )


def address_in_the_queue():
    enqueue("csf.tasks.canary", guardian("Paid").email)


def name_in_the_queue():
    enqueue("csf.tasks.canary", "Kim Garcia")


def erased(name):
    """All but what the plant leaves."""
    household, reader = family(name), guardian(name)
    gone = {
        "subject": "",
        "html": "",
        "text": "",
        "context": {},
        "to": f"erased-{household.pk}@erased.invalid",
    }
    reader.emails.update(**gone)
    change(reader, email=f"erased-{reader.pk}@erased.invalid", first_name="", last_name="", is_active=False)
    household.children.update(first_name="-", last_name="")
    for child in household.children.all():
        child.emergency_contacts.all().delete()
    change(household, name="Erased family")
    return household


def child_of_an_erased_family():
    erased("Late").children.update(first_name="Kim")


def contact_of_an_erased_family():
    erased("Late").children.get().emergency_contacts.create(name="Gran", phone="1", relationship="-")


def guardian_of_an_erased_family():
    erased("Late").guardians.update(first_name="Pat")


def email_of_an_erased_family():
    EmailMessage.objects.filter(recipient__household=erased("Late")).update(text="Dear Pat")


def text_kept_too_long():
    without_trigger(Payment.objects.filter(order=order_of("Dunned")), created_at=Now() - 95 * DAY)
    change(email("payment_success", "Dunned"), created_at=Now() - 95 * DAY)


def event_kept_too_long():
    first = StripeEvent.objects.filter(status="processed").earliest("pk")
    change(first, finished_at=Now() - 35 * DAY, received_at=Now() - 33 * DAY)


def delivery_kept_too_long():
    long_ago = Now() - 35 * DAY
    EmailEvent.objects.create(
        key="1", name="delivered", happened_at=long_ago, received_at=long_ago, folded_at=long_ago
    )


def cart_kept_too_long():
    cart = cart_of(family("First"))
    Order.objects.filter(pk=cart.pk).update(created_at=Now() - 35 * DAY)


def presses_kept_too_long():
    FormPress.objects.create(key="1", pressed_at=Now() - 4 * DAY)


# --- Operation ----------------------------------------------------------------------------------------------


def task_about_a_missing_row():
    refund = Refund(pk=0)
    StaffTask.open(MoneyTask.REFUND_FAILED, refund)


def scheduled(*days_ago, **last):
    """A daily job on an installation that has its schedules."""
    sync_schedules()
    for days in days_ago:
        JobRun.objects.create(
            job="charge_due_installments", on=today() - days * DAY, status="done", finished_at=Now()
        )
    if last:
        JobRun.objects.filter(on=today() - days_ago[-1] * DAY).update(**last)


def day_without_a_run():
    scheduled(4, 2, 1)


def job_that_stopped():
    scheduled(4, 3)


def job_that_never_ended():
    scheduled(2, 1, 0, status="running", lease_until=Now() - 2 * HOUR)


def job_without_a_schedule():
    sync_schedules()
    Schedule.objects.get(name="csf:charge_due_installments").delete()


PLANTS = {
    "E1 emails sent again without a reason": [resent_without_a_reason],
    "E1 facts that one person was emailed about twice": [sent_twice],
    "E2 emails of a kind that does not exist": [email_of_no_kind],
    "E2 emails without their fact": [email_without_a_fact],
    "E2 emails older than their fact": [email_older_than_its_fact],
    "E2 emails with another amount than their fact": [email_with_another_amount],
    "E3 facts that no one was emailed about": [
        unsent("order_confirmation", "Unpaid"),
        unsent("order_expired", "Late"),
        unsent("enrollment_confirmation", "Paid"),
        unsent("payment_success", "Paid"),
        unsent("payment_failed", "Dunned"),
        unsent("cancellation_confirmation", "Given"),
        unsent("refund_issued", "Given"),
        unsent("credit_added", "Paid"),
        unsent_offer,
    ],
    "E4 emails that are stuck": [late_in_the_queue, lost_lease, sending_without_a_lease, undecided],
    "E4 failed emails without a staff task": [failed_in_silence, failed_after_the_task_was_closed],
    "E4 undelivered emails without a staff task": [bounced_in_silence, dropped_in_silence],
    "E4 provider events that were not processed": [event_not_taken_in],
    "E5 emails posted again while a post was open or accepted": [
        posted_while_open,
        posted_after_it_was_taken,
    ],
    "E5 emails copied more often than allowed": [copied_twice, copied_though_it_confuses],
    "E5 emails that count as sent without a post": [sent_without_a_post],
    "E6 emails posted after they had expired": [posted_too_late],
    "E6 reminders of paid installments": [reminded_of_what_was_paid],
    "E7 emails to a member of another family": [sent_to_another_family],
    "E7 emails to an address that is not the recipient's": [sent_to_another_address],
    "E7 emails to an account that is not among their recipients": [
        sent_to_an_account_without_a_family,
        staff_email_to_a_family,
    ],
    "E8 emails sent to suppressed or unsubscribed addresses": [
        posted_to_who_takes_none,
        reminded_who_complained,
        posted_what_was_switched_off,
    ],
    "P2 encrypted columns that hold plain text": [secret_in_the_clear],
    "P2 encrypted texts that cannot be read": [secret_of_another_row],
    "P3 queued tasks that hold more than ids": [address_in_the_queue, name_in_the_queue],
    "P4 erased families that are still named": [
        child_of_an_erased_family,
        contact_of_an_erased_family,
        guardian_of_an_erased_family,
        email_of_an_erased_family,
    ],
    "P5 finished emails whose secrets are still stored": [
        secret_of_a_finished_email,
        text_of_a_finished_code,
    ],
    "P5 data that the purge should have deleted": [
        text_kept_too_long,
        event_kept_too_long,
        delivery_kept_too_long,
        cart_kept_too_long,
        presses_kept_too_long,
    ],
    "Y2 staff tasks about a row that does not exist": [task_about_a_missing_row],
    "Y3 emails posted in quarantine": [posted_in_quarantine],
    "Y4 daily jobs with a missing day": [day_without_a_run, job_that_stopped],
    "Y4 daily jobs that started and never ended": [job_that_never_ended],
    "Y4 jobs without a schedule": [job_without_a_schedule],
}
