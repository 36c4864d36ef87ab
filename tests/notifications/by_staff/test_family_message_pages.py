"""The pages on which staff write to many families: form, preview, confirmation and result."""

import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from enrollments.models import Course, Enrollment, Program
from notifications.admin.message_forms import MANY_FAMILIES
from notifications.by_staff.broadcast import reach_of
from notifications.models import EmailMessage, FamilyMessage
from notifications.models.messages import Seats
from notifications.sending.drain import drain
from tests.factories import create_course, create_staff
from tests.notifications.family_messages import FORM, WORDS, enroll, message_to, send_now

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client):
    client.user = create_staff()
    client.force_login(client.user)
    return client


def write(staff, *courses, **changes):
    """Open the form and send it; gives the answer."""
    form = staff.get(FORM).context["form"]
    data = {
        "public_id": form.initial["public_id"],
        "courses": [row.pk for row in courses],
        "seats": ["active"],
    }
    return staff.post(FORM, data | WORDS | changes)


def page_of(message):
    return reverse("admin:notifications_familymessage_change", args=[message.pk])


def confirm(staff, message, **changes):
    form = staff.get(page_of(message)).context["form"]
    return staff.post(page_of(message), {"fingerprint": form.initial["fingerprint"]} | changes, follow=True)


def words(response):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def test_from_the_class_over_the_preview_to_the_result(staff, mail_server):
    course = create_course(title="Robotics", capacity=20)
    for n in range(3):
        enroll(course, name=f"Family{n}")
    enroll(course, status="held")
    button = staff.get(reverse("admin:enrollments_course_change", args=[course.pk])).content.decode()
    assert f"{FORM}?course={course.pk}" in button
    assert staff.get(f"{FORM}?course={course.pk}").context["form"].initial["courses"] == [course.pk]

    answer = write(staff, course, body="Hello\n\nhttps://a.example")
    message = FamilyMessage.objects.get()
    assert answer.url == page_of(message)
    preview = staff.get(answer.url)
    html, text = preview.content.decode(), words(preview)
    assert "3 , 3 emails in all" in text
    assert "1 held" in text
    assert "Family0 family (Pat Family0)" in text
    assert "Send to 3 families" in text
    assert "<iframe sandbox " in html
    assert not EmailMessage.objects.exists()

    result = confirm(staff, message)
    assert "Sent to 3 families, 3 emails" in words(result)
    assert "reloads by itself" in words(result)
    drain()
    result = staff.get(page_of(message))
    assert len(mail_server.messages()) == 3
    assert words(result).count("accepted by the provider") == 4
    for email in EmailMessage.objects.all():
        assert reverse("admin:notifications_emailmessage_change", args=[email.pk]) in result.content.decode()
    again = confirm_again(staff, message, preview)
    assert "has already been sent" in words(again)
    assert EmailMessage.objects.count() == 3


def confirm_again(staff, message, preview):
    """As the back button and a second press do."""
    fingerprint = preview.context["form"].initial["fingerprint"]
    return staff.post(page_of(message), {"fingerprint": fingerprint}, follow=True)


def test_an_archived_class_or_program_is_no_choice(staff):
    shown, archived = create_course(), create_course(program=Program.objects.create(name="Judo"))
    Course.objects.filter(pk=archived.pk).update(archived_at=timezone.now())
    Program.objects.filter(name="Judo").update(archived_at=timezone.now())

    fields = staff.get(FORM).context["form"].fields

    assert list(fields["courses"].queryset) == [shown]
    assert list(fields["program"].queryset) == [shown.program]


def test_the_form_sent_twice_or_after_going_back_is_one_message(staff):
    course = create_course()
    enroll(course)
    form = staff.get(FORM).context["form"]
    data = WORDS | {"public_id": form.initial["public_id"], "courses": [course.pk], "seats": ["active"]}

    staff.post(FORM, data)
    staff.post(FORM, data | {"subject": "Bring two towels"})
    message = FamilyMessage.objects.get()
    assert message.subject == "Bring two towels"
    assert "Bring two towels" in staff.get(f"{FORM}?draft={message.pk}").content.decode()
    confirm(staff, message)
    late = staff.post(FORM, data | {"subject": "Bring three"}, follow=True)

    assert "has already been sent" in words(late)
    assert FamilyMessage.objects.get().subject == "Bring two towels"
    assert EmailMessage.objects.count() == 1


def test_another_family_after_the_preview_is_shown_before_anything_is_sent(staff):
    course = create_course()
    enroll(course)
    write(staff, course)
    message = FamilyMessage.objects.get()
    preview = staff.get(page_of(message))

    enroll(course)
    answer = confirm_again(staff, message, preview)

    assert "have changed since you saw them" in words(answer)
    assert "Send to 2 families" in words(answer)
    assert not EmailMessage.objects.exists()


def test_words_changed_in_another_window_are_shown_before_anything_is_sent(staff):
    course = create_course()
    enroll(course)
    write(staff, course)
    message = FamilyMessage.objects.get()
    preview = staff.get(page_of(message))

    message.change(body="Something else.")
    answer = confirm_again(staff, message, preview)

    assert "have changed since you saw them" in words(answer)
    assert "Something else." in words(answer)
    assert not EmailMessage.objects.exists()


def test_many_families_are_sent_to_only_if_their_number_is_typed(staff):
    course = create_course(capacity=MANY_FAMILIES + 1)
    for _ in range(MANY_FAMILIES + 1):
        enroll(course)
    write(staff, course)
    message = FamilyMessage.objects.get()

    for count in ["", "50", "x"]:
        assert "Enter the number of families shown above." in words(confirm(staff, message, count=count))
    assert not EmailMessage.objects.exists()
    assert "and 31 more families" in words(staff.get(page_of(message)))

    confirm(staff, message, count=str(MANY_FAMILIES + 1))
    assert EmailMessage.objects.count() == MANY_FAMILIES + 1


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"subject": "One\nBcc: all@example.org"}, "subject", "on one line"),
        ({"subject": "x" * 151}, "subject", "at most 150 characters"),
        ({"subject": " "}, "subject", "required"),
        ({"body": "x" * 102_400}, "body", "at most 10000 characters (it has 102400)"),
        ({"body": "x\n" * 400}, "body", "at most 200 lines. You have 400"),
        ({"body": "a\0b"}, "body", "Null characters"),
        ({"courses": []}, "courses", "Choose classes or a program"),
        ({"courses": ["999999"]}, "courses", "not one of the available choices"),
        ({"seats": []}, "seats", "at least one"),
        ({"seats": ["held"]}, "seats", "not one of the available choices"),
        ({"kind": "welcome"}, "kind", "not one of the available choices"),
        ({"public_id": "x"}, "public_id", "valid UUID"),
    ],
)
def test_what_is_wrong_is_said_by_the_field_and_nothing_is_saved(staff, changes, field, said):
    response = write(staff, create_course(), **changes)

    assert response.status_code == 200
    assert said in " ".join(response.context["form"].errors[field])
    assert not FamilyMessage.objects.exists()


def test_hostile_words_do_nothing_on_the_pages(staff):
    hostile = "<script>alert(1)</script> \u202egpj {{ x }}"
    course = create_course()
    enroll(course)
    write(staff, course, subject=hostile, body=hostile)
    message = FamilyMessage.objects.get()

    pages = [staff.get(page_of(message)), confirm(staff, message)]

    for page in pages:
        assert page.status_code == 200
        assert "<script>alert" not in page.content.decode()


def test_the_lists_of_classes_and_enrollments_begin_a_message(staff):
    course, other = create_course(), create_course()
    families = [enroll(course), enroll(course), enroll(other)]
    for model, rows, wanted in [
        (Course, [course, other], {"courses": [course.pk, other.pk], "program": None, "seats": ["active"]}),
        (Enrollment, course.enrollments.all(), None),
    ]:
        name = f"message_{'classes' if model is Course else 'enrollments'}"
        url = reverse(f"admin:enrollments_{model._meta.model_name}_changelist")
        answer = staff.post(url, {"action": name, "_selected_action": [row.pk for row in rows], "index": "0"})
        draft = FamilyMessage.objects.latest("pk")
        assert answer.url == f"{FORM}?draft={draft.pk}"
        assert wanted in (None, draft.audience)
        assert staff.get(answer.url).status_code == 200
        assert "no subject or no text yet" in words(staff.get(page_of(draft)))

    picked = FamilyMessage.objects.latest("pk")
    data = WORDS | {"public_id": picked.public_id, "seats": list(Seats)}
    staff.post(FORM, data)
    confirm(staff, picked)
    assert set(EmailMessage.objects.values_list("recipient__household", flat=True)) == {
        family.pk for family in families[:2]
    }


def test_only_who_may_write_messages_writes_them_and_only_the_author_sends(staff, client):
    course = create_course()
    enroll(course)
    write(staff, course)
    message = FamilyMessage.objects.get()
    clerk = create_staff(is_superuser=False)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_course", "view_enrollment"]))
    client.force_login(clerk)
    assert client.get(FORM).status_code == client.post(FORM, WORDS).status_code == 403
    assert client.get(page_of(message)).status_code == 403
    assert (
        FORM not in client.get(reverse("admin:enrollments_course_change", args=[course.pk])).content.decode()
    )
    data = {"action": "message_enrollments", "_selected_action": ["1"], "index": "0"}
    client.post(reverse("admin:enrollments_enrollment_changelist"), data)

    clerk.user_permissions.set(Permission.objects.filter(codename__endswith="_familymessage"))
    client.force_login(clerk)
    assert client.get(FORM).status_code == 200
    assert "Send to" not in words(client.get(page_of(message)))
    assert client.post(page_of(message), {"fingerprint": reach_of(message).fingerprint}).status_code == 403
    assert client.get(f"{FORM}?draft={message.pk}").context["form"].initial["public_id"] != message.public_id
    assert not EmailMessage.objects.exists()
    assert FamilyMessage.objects.count() == 1


def test_pages_need_no_more_queries_for_more_families(staff):
    course = create_course(capacity=40)
    enroll(course)
    write(staff, course)
    preview = FamilyMessage.objects.get()
    sent = message_to(course)
    send_now(sent)

    def queries():
        counts = []
        for url in (page_of(preview), page_of(sent)):
            with CaptureQueriesContext(connection) as captured:
                assert staff.get(url).status_code == 200
            counts.append(len(captured))
        return counts

    before = queries()
    for _ in range(5):
        enroll(course)
    more = message_to(course)
    send_now(more)
    sent = more

    assert queries() == before
