"""docs/emails.md has the table of kinds that `manage.py document_emails` writes."""

from notifications.management.commands.document_emails import DOCUMENT, with_table
from notifications.registry import EMAILS


def test_the_table_of_kinds_is_up_to_date():
    text = DOCUMENT.read_text()

    assert text == with_table(text), "run manage.py document_emails"
    assert all(f"| `{kind}` | {email.when} |" in text for kind, email in EMAILS.items())


def test_every_kind_says_when_it_goes_out_and_expires():
    assert [kind for kind, email in EMAILS.items() if not (email.when and email.expires.__doc__)] == []
