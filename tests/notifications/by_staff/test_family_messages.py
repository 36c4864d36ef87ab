"""Messages from the office to many families: whom they reach, once, and in which words."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.conf import settings
from django.utils import timezone

from csf.dates import local_date
from enrollments.models import Course, Enrollment, Household, Program
from notifications.by_staff import broadcast
from notifications.by_staff.broadcast import AlreadySent, Changed, reach_of, send
from notifications.facts.family_messages import message_facts, paragraphs
from notifications.models import EmailMessage, EmailPreference, FamilyMessage, FamilyMessageLine, Suppression
from notifications.models.messages import MAX_BODY, MAX_BODY_LINES, Seats
from notifications.rendering.render import render
from notifications.sending.drain import drain
from tests.factories import create_course, create_guardian
from tests.notifications.family_messages import enroll, message_to, send_now

pytestmark = pytest.mark.django_db

GIVEN_UP = ["held", "released", "lapsed", "declined", "cancelled", "transferred"]


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
