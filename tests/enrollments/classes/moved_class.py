"""A class that is changed on its page: its form, the question that follows, and the emails."""

import re
from datetime import timedelta
from html import unescape

from django.urls import reverse

from enrollments.models import Enrollment, Location
from notifications.models import EmailMessage
from tests.factories import create_order

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
REASON = "The pool is being repaired."


def enrolled(course, household=None):
    """Enrolled, and told so."""
    order = create_order(household=household, courses=[course])
    order.confirm(reason="paid")
    return Enrollment.objects.get(order_item__order=order)


def mill():
    return Location.objects.get_or_create(name="Old Mill", defaults={"address": "1 Mill Lane"})[0]


def mails():
    return EmailMessage.objects.filter(kind="class_moved").order_by("pk")


def page_of(course):
    return reverse("admin:enrollments_course_change", args=[course.pk])


def typed(answer):
    """What the form of a page would send as it stands."""
    repeated = {"dates-add", "dates-delete"}
    fields = {name: [] for name in repeated if f'name="{name}"' in answer.text}
    for tag, attributes in re.findall(r"<(input|textarea|select)\b([^>]*)>", answer.text):
        name = re.search(r'\bname="([^"]*)"', attributes)
        if not name or name[1].startswith("_") or name[1] == "csrfmiddlewaretoken":
            continue
        if 'type="checkbox"' in attributes:
            if "checked" in attributes:
                fields[name[1]] = "on"
        elif tag == "input":
            value = re.search(r'\bvalue="([^"]*)"', attributes)
            text = unescape(value[1]) if value else ""
            fields[name[1]] = [*fields[name[1]], text] if name[1] in repeated else text
    for name, text in re.findall(r'<textarea[^>]*\bname="([^"]*)"[^>]*>(.*?)</textarea>', answer.text, re.S):
        fields[name] = unescape(text).removeprefix("\r").removeprefix("\n")
    for name, options in re.findall(r'<select[^>]*\bname="([^"]*)"[^>]*>(.*?)</select>', answer.text, re.S):
        chosen = re.search(r'value="([^"]*)"\s+selected', options)
        fields[name] = chosen[1] if chosen else ""
    return {name: value for name, value in fields.items() if "__prefix__" not in name and name != "q"}


def edit(staff, course, **changes):
    """Save the form of the class with these changes."""
    form = typed(staff.get(page_of(course)))
    assert changes.keys() <= form.keys()
    return staff.post(page_of(course), form | changes)


def confirm(staff, course, answer, reason=REASON):
    """Send what the question shows, as a browser would."""
    assert answer.template_name == "admin/action.html", answer
    return staff.post(page_of(course), typed(answer) | {"reason": reason})


def moved(staff, course, **changes):
    answer = confirm(staff, course, edit(staff, course, **changes))
    assert answer.status_code == 302
    course.refresh_from_db()
    return mails().last()


def dates(course):
    return list(course.sessions.values_list("held_on", flat=True))
