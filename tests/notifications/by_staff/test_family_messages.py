"""Messages from the office to many families: whom they reach, the one confirmation, and the staff pages."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from csf.dates import local_date
from enrollments.models import Course, Enrollment, Household, Program
from notifications.admin.message_forms import MANY_FAMILIES
from notifications.by_staff import broadcast
from notifications.by_staff.broadcast import AlreadySent, Changed, reach_of, send
from notifications.facts.family_messages import message_facts, paragraphs
from notifications.models import EmailMessage, EmailPreference, FamilyMessage, FamilyMessageLine, Suppression
from notifications.models.messages import MAX_BODY, MAX_BODY_LINES, Seats
from notifications.rendering.render import render
from notifications.sending.drain import drain
from tests.factories import create_child, create_course, create_guardian, create_household, create_staff

pytestmark = pytest.mark.django_db

FORM = "/admin/message_families/"
WORDS = {"kind": "class_message", "subject": "Bring a towel", "body": "See you on Saturday."}
GIVEN_UP = ["held", "released", "lapsed", "declined", "cancelled", "transferred"]


def enroll(course, *, status="active", household=None, name="Garcia"):
    """A child in that class; gives the family."""
    household = household or create_household(name=name)
    child = create_child(household=household)
    place(child, course, status)
    return household


def place(child, course, status):
    fields = {}
    if status in {"held", "offered", "active"}:
        taken = course.enrollments.exclude(seat_number=None).count()
        fields["seat_number"] = taken + 1
    if status in {"held", "offered"}:
        fields["expires_at"] = timezone.now() + timedelta(hours=1)
    if status in {"waitlisted", "offered"}:
        fields |= {"tier": "regular", "joined_at": timezone.now()}
    return Enrollment.objects.create(child=child, course=course, status=status, **fields)


def message_to(*courses, seats=("active",), kind="class_message", **audience):
    audience = {
        "courses": [course.pk for course in courses],
        "program": None,
        "seats": list(seats),
    } | audience
    return FamilyMessage.objects.create(**WORDS | {"kind": kind}, audience=audience, by=create_staff())


def send_now(message):
    send(message=message, by=message.by, fingerprint=reach_of(message).fingerprint)


def told(message):
    emails = EmailMessage.objects.filter(kind=message.kind)
    return sorted(emails.values_list("recipient__household__name", flat=True))


# --- Whom it reaches ----------------------------------------------------------------------------------------


@pytest.fixture
def everybody():
    """A class with a family for each status, named after it, one that is over, and another class."""
    course, over, other = create_course(capacity=20), create_course(), create_course()
    Course.objects.filter(pk=over.pk).update(
        starts_on=local_date(timezone.now()) - timedelta(days=90),
        ends_on=local_date(timezone.now()) - timedelta(days=1),
    )
    for status in ["active", "on_offer", "waitlisted", "offered", "completed", *GIVEN_UP]:
        enroll(course, status=status, name=status)
    enroll(over, name="over")
    enroll(other, name="other")
    return course, over, other


@pytest.mark.parametrize(
    ("seats", "families"),
    [
        (["active"], ["active", "on_offer"]),
        (["waiting"], ["offered", "waitlisted"]),
        (["ended"], ["completed", "over"]),
        (list(Seats), ["active", "completed", "offered", "on_offer", "over", "waitlisted"]),
    ],
)
def test_reaches_the_families_of_the_chosen_seats_and_never_those_of_held_or_given_up_ones(
    everybody, seats, families
):
    course, over, _ = everybody
    message = message_to(course, over, seats=seats)

    send_now(message)

    assert told(message) == [f"{name} family" for name in families]
    assert message.lines.count() == len(families)


def test_a_program_adds_its_classes_and_a_newsletter_without_classes_goes_to_all(everybody):
    course, _, other = everybody
    judo = Program.objects.create(name="Judo")
    Course.objects.filter(pk=other.pk).update(program=judo)
    both = message_to(course, program=judo.pk)
    EmailPreference.objects.create(
        user=Household.objects.get(name="other family").guardians.get(),
        choice="newsletter",
        is_on=True,
        origin="page",
    )
    news = message_to(kind="newsletter", seats=list(Seats))

    send_now(both)
    send_now(news)

    assert told(both) == ["active family", "on_offer family", "other family"]
    assert told(news) == ["other family"]
    line = news.lines.get(household__name="active family")
    assert line.skipped == "Pat active: never asked for"


def test_picked_places_reach_their_families_only(everybody):
    course, _, _ = everybody
    picked = course.enrollments.filter(status__in=["active", "held", "waitlisted"])
    message = message_to(enrollments=[row.pk for row in picked], seats=list(Seats))

    send_now(message)

    assert told(message) == ["active family", "waitlisted family"]


def test_a_family_with_two_children_in_two_classes_gets_one_email_that_names_both():
    robotics, judo = create_course(title="Robotics"), create_course(title="Judo")
    household = enroll(robotics)
    enroll(robotics, household=household)
    enroll(judo, household=household)

    send_now(message_to(robotics, judo))

    email = EmailMessage.objects.get()
    message, line = FamilyMessage.objects.get(), FamilyMessageLine.objects.get()
    assert email.dedupe_key == f"class_message:message:{message.pk}:{household.pk}:{email.recipient_id}"
    assert email.fact_id == line.pk
    assert email.context["classes"] == ["Robotics", "Judo"]
    assert email.context["first_name"] == "Pat"
    assert email.expires_at - email.created_at == pytest.approx(timedelta(days=3), abs=timedelta(hours=1))


def test_who_switched_off_or_takes_no_mail_or_is_nobody_is_counted_and_gets_no_email():
    course = create_course(capacity=9)
    families = {name: enroll(course, name=name) for name in ["gets", "off", "bounced", "nobody"]}
    second = create_guardian(household=families["off"], first_name="Second")
    for user, choice, is_on in [
        (families["off"].guardians.first(), "class_message", False),
        (second, EmailPreference.COPIES, True),
    ]:
        EmailPreference.objects.create(user=user, choice=choice, is_on=is_on, origin="page")
    Suppression.objects.create(address=families["bounced"].email, scope="all", cause="bounced")
    families["nobody"].guardians.all().update(household=None)
    message = message_to(course)

    reach = reach_of(message)
    send_now(message)

    assert (len(reach.reached), reach.people, reach.not_reached) == (2, 2, 2)
    assert dict(reach.reasons) == {broadcast.UNWANTED: 1, broadcast.SUPPRESSED: 1, broadcast.NOBODY: 1}
    assert told(message) == ["gets family", "off family"]
    assert EmailMessage.objects.filter(recipient=second).exists()
    skipped = dict(message.lines.values_list("household__name", "skipped"))
    assert skipped["gets family"] == ""
    assert skipped["off family"].startswith("Pat off: turned off")
    assert skipped["bounced family"].startswith("Pat bounced: ")
    assert skipped["nobody family"] == broadcast.NOBODY


def test_a_thousand_families_take_as_few_statements_as_one(django_assert_max_num_queries):
    course = create_course(capacity=1100)
    Household.objects.bulk_create(Household(name=f"Family {n}") for n in range(1000))
    households = list(Household.objects.order_by("pk"))
    people = type(create_guardian(household=households[0]))
    people.objects.bulk_create(
        people(email=f"p{n}@example.org", first_name="Pat", household=row)
        for n, row in enumerate(households[1:])
    )
    child_class = households[0].children.model
    children = child_class.objects.bulk_create(
        child_class(household=row, first_name="Kim", last_name="G", born_on=local_date(timezone.now()))
        for row in households
        for _ in range(2)
    )
    Enrollment.objects.bulk_create(
        Enrollment(child=child, course=course, status="on_offer") for child in children
    )
    message = message_to(course)
    message.change(body="A line of some words, and another one.\n\n" * 40)
    message.refresh_from_db()

    with django_assert_max_num_queries(20):
        send_now(message)

    assert EmailMessage.objects.count() == FamilyMessageLine.objects.count() == 1000


# --- Once ---------------------------------------------------------------------------------------------------


def test_is_sent_once_and_never_to_others_than_were_seen():
    course = create_course()
    enroll(course)
    message = message_to(course)
    fingerprint = reach_of(message).fingerprint

    enroll(course)
    with pytest.raises(Changed):
        send(message=message, by=message.by, fingerprint=fingerprint)
    assert not FamilyMessage.objects.get().confirmed_at
    assert not EmailMessage.objects.exists()

    send_now(message)
    with pytest.raises(AlreadySent):
        send(message=message, by=message.by, fingerprint=reach_of(message).fingerprint)
    assert EmailMessage.objects.count() == 2


def test_who_left_the_class_before_it_went_out_gets_nothing(mail_server):
    course = create_course()
    stays, leaves = enroll(course, name="stays"), enroll(course, name="leaves")
    send_now(message_to(course))
    Enrollment.objects.filter(child__household=leaves).update(status="cancelled", seat_number=None)

    drain()

    states = dict(EmailMessage.objects.values_list("recipient__household", "status"))
    assert states == {stays.pk: "sent", leaves.pk: "expired"}
    [mail] = mail_server.messages()
    assert mail["to"] == [stays.email]


# --- Its words ----------------------------------------------------------------------------------------------


def rendered(body, subject="News"):
    return render("class_message", message_facts(subject, body, []) | {"first_name": "Pat"})


def links(html):
    """But for the school's own address in the footer."""
    found = re.findall(r'href="([^"]+)"', unescape(html))
    return [link for link in found if "example" in link and link != f"mailto:{settings.SCHOOL_EMAIL}"]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("See https://a.example/x.", ["https://a.example/x"]),
        ("(https://a.example/x)", ["https://a.example/x"]),
        ("https://a.example/x_(y)?a=1&b=2!", ["https://a.example/x_(y)?a=1&b=2"]),
        ("HTTPS://A.example and http://b.example", ["HTTPS://A.example", "http://b.example"]),
        ("javascript:alert(1) //c.example data:text/html,c.example", []),
        ('https://a.example/"onmouseover="x', ["https://a.example/"]),
        ("https://a.example/<script>", ["https://a.example/"]),
    ],
)
def test_bare_links_can_be_clicked_and_nothing_else(body, found):
    mail = rendered(body)

    assert links(mail.html) == found
    assert " ".join(body.split()) in " ".join(mail.text.split())
    assert not re.search(r"<script|<[^>]+onmouseover", mail.html)


def test_paragraphs_lines_and_odd_letters():
    body = "One\r\ntwo\r\n\r\n\r\n\u202ethree <b>bold</b>\u2069\r\n\t \r\n{{ secret }} {% now 'Y' %}"
    mail = rendered(body)

    assert len(paragraphs(body)) == 3
    for said in ["One\ntwo\n\nthree <b>bold</b>\n\n{{ secret }} {% now 'Y' %}\n"]:
        assert said in mail.text
    assert "<b>" not in mail.html
    assert "\u202e" not in mail.html + mail.text
    assert "\r" not in mail.text


def test_the_longest_message_is_not_cut_off_by_gmail():
    line = "&" * (MAX_BODY // (MAX_BODY_LINES // 2) - 2)
    mail = rendered("\n\n".join([line] * (MAX_BODY_LINES // 2)))

    assert len(mail.html.encode()) < 100_000


# --- The pages ----------------------------------------------------------------------------------------------


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
