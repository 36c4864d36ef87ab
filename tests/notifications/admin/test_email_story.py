"""The story of one email on its page, each step of which really commits at a time of its own."""

import re

from django.utils import timezone

from notifications.models import EmailEvent
from notifications.sending.drain import drain
from tests.notifications.email_pages import ALL, eml_of, press, shown, staff_with
from tests.notifications.outbox_rows import WHY, one
from tests.staff_pages import page_of


def story_of(client, row):
    """What the page tells of the email, without its times."""
    [table] = [p for p in client.get(page_of(row)).context["panels"] if p.title == "What happened to it"]
    lines = [[re.sub(r"<[^>]+>|\s+", " ", str(cell)).strip() for cell in line[1:]] for line in table.rows]
    return [" | ".join(line).strip(" |") for line in lines]


def test_everything_that_happened_stands_in_one_story(mail_server, committed_db, client):
    office = staff_with(client, ALL)
    row = one()
    press(office, row, "withhold")
    press(office, row, "requeue", reason="a mistake")
    drain()
    row.refresh_from_db()
    EmailEvent.objects.create(
        key="1", outbox_id=row.public_id, name="delivered", detail="250 OK", happened_at=timezone.now()
    )
    press(office, row, "resend")
    office.get(eml_of(row))
    again = row.resends.get()

    took = row.attempts.get()
    assert story_of(office, row) == [
        "written | system",
        f"withheld | Olga Office |  | {WHY}",
        "released to be sent | Olga Office |  | a mistake",
        f"post 1 | SendGrid | accepted | HTTP 202, {took.duration_ms} ms, {took.provider_message_id}",
        "reported | provider | delivered | 250 OK",
        f"sent again | Olga Office | the new email | {WHY}",
        "downloaded | Olga Office",
        "read | Olga Office",
    ]
    assert story_of(office, again)[0] == "written | staff |  | a copy of this one"
    assert f'href="{page_of(again)}"' in shown(office, row)
    assert f'href="{page_of(row)}"' in shown(office, again)
