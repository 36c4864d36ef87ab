"""Encrypted columns: a value opens in its own row, with its own key, and nowhere else."""

import base64
import os

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from csf.encryption import BadKeys, Sealed, Unreadable, parse_keys, seal, unseal
from enrollments.accounts.staff_sign_in import OWNER
from notifications.models import EmailMessage
from tests.factories import create_totp

TEXT = "Peanuts: EpiPen in the blue bag"


def key(name):
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture
def keys(settings):
    settings.FIELD_KEYS = [key("old")]
    return settings


def create_row(secret=TEXT, **fields):
    number = EmailMessage.objects.count()
    return EmailMessage.objects.create(
        kind="account_notice",
        to="a@example.org",
        fact_id=0,
        dedupe_key=f"test:{number}",
        context={},
        secret=secret,
    )


def stored(row):
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM notifications_emailmessage WHERE id = %s", [row.pk])
        return cursor.fetchone()[0]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text):
    assert unseal(seal(text, owner="a"), owner="a") == text


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_the_same_text_is_never_stored_alike(text):
    assert seal(text, owner="a") != seal(text, owner="a")


@pytest.mark.django_db
def test_the_row_gives_the_text_and_the_database_does_not(keys):
    row = create_row()

    assert EmailMessage.objects.get(pk=row.pk).secret == TEXT
    assert stored(row).startswith("v1:old:")
    assert "EpiPen" not in stored(row)
    assert str(EmailMessage.objects.values_list("secret", flat=True).get()) == "(encrypted)"


@pytest.mark.django_db
def test_bulk_rows_are_encrypted_too(keys):
    rows = [
        EmailMessage(
            kind="account_notice",
            to="a@b.org",
            fact_id=0,
            dedupe_key=str(n),
            context={},
            secret=f"{TEXT} {n}",
        )
        for n in range(3)
    ]
    EmailMessage.objects.bulk_create(rows)

    assert [row.secret for row in EmailMessage.objects.order_by("pk")] == [f"{TEXT} {n}" for n in range(3)]
    assert not EmailMessage.objects.extra(where=["secret LIKE '%%EpiPen%%'"]).exists()


@pytest.mark.django_db
def test_empty_stays_empty_and_an_untouched_value_is_not_written_anew(keys):
    row = create_row()
    before = stored(row)
    loaded = EmailMessage.objects.get(pk=row.pk)
    loaded.save()

    assert stored(row) == before
    assert stored(create_row("")) == ""


@pytest.mark.django_db
def test_a_value_moved_to_another_row_does_not_open(keys):
    one, other = create_row(), create_row("something else")
    EmailMessage.objects.filter(pk=other.pk).update(secret=Sealed(stored(one)))
    moved = EmailMessage.objects.get(pk=other.pk)

    with pytest.raises(Unreadable, match="changed, or belongs to another row"):
        moved.secret  # noqa: B018


@pytest.mark.django_db
@pytest.mark.parametrize("tampered", ["v1:old:AAAA", "v1:old:not base64", "v2:old:AAAA", "plain text", "v1"])
def test_a_changed_value_does_not_open(keys, tampered):
    row = create_row()
    EmailMessage.objects.filter(pk=row.pk).update(secret=Sealed(tampered))

    with pytest.raises(Unreadable):
        EmailMessage.objects.get(pk=row.pk).secret  # noqa: B018


@pytest.mark.django_db
def test_a_lost_key_closes_that_value_only(keys):
    row = create_row()
    keys.FIELD_KEYS = [key("new")]
    loaded = EmailMessage.objects.get(pk=row.pk)
    loaded.refresh_from_db()
    loaded.to = "b@example.org"
    loaded.save()

    assert EmailMessage.objects.get(pk=row.pk).to == "b@example.org"
    with pytest.raises(Unreadable, match=r"notifications\.EmailMessage\.secret:.*key 'old'"):
        loaded.secret  # noqa: B018


@pytest.mark.django_db
def test_plain_text_cannot_slip_past_the_row(keys):
    row = create_row()

    with pytest.raises(TypeError, match="secret is encrypted"):
        EmailMessage.objects.filter(pk=row.pk).update(secret="plain")
    with pytest.raises(TypeError, match="secret is encrypted"):
        EmailMessage.objects.filter(secret=TEXT).exists()
    row.secret = "plain"
    with pytest.raises(TypeError, match="secret is encrypted"):
        EmailMessage.objects.bulk_update([row], ["secret"])


@pytest.mark.django_db
def test_deferred_text_is_read_when_asked_for(keys):
    create_row()

    assert EmailMessage.objects.defer("secret").get().secret == TEXT
    assert EmailMessage.objects.only("pk").get().secret == TEXT


@pytest.mark.django_db
def test_rotation_moves_every_value_to_the_new_key(keys, capsys, monkeypatch):
    monkeypatch.setattr("csf.encryption.BATCH", 2)
    rows = [create_row(f"{TEXT} {n}") for n in range(5)]
    totp = create_totp()
    keys.FIELD_KEYS = [key("new"), *keys.FIELD_KEYS]
    call_command("rotate_keys")
    call_command("rotate_keys")
    lines = capsys.readouterr().out.splitlines()
    keys.FIELD_KEYS = keys.FIELD_KEYS[:1]

    assert [row.secret for row in EmailMessage.objects.order_by("pk")] == [f"{TEXT} {n}" for n in range(5)]
    assert {Sealed(stored(row)).key_id for row in rows} == {"new"}
    totp.refresh_from_db()
    assert unseal(Sealed(totp.data["secret"]), owner=OWNER)
    assert "notifications.EmailMessage.secret: key=new done=5 failed=0" in lines
    assert "notifications.EmailMessage.secret: key=new done=0 failed=0" in lines
    assert "second factors: key=new done=1 failed=0" in lines


@pytest.mark.django_db
def test_rotation_goes_on_where_it_was_stopped(keys, monkeypatch):
    monkeypatch.setattr("csf.encryption.BATCH", 2)
    rows = [create_row() for _ in range(4)]
    keys.FIELD_KEYS = [key("new"), *keys.FIELD_KEYS]
    stop_at = rows[2].public_id
    with monkeypatch.context() as broken:
        broken.setattr(
            "csf.encryption.seal", lambda text, *, owner: stop(owner, stop_at) or seal(text, owner=owner)
        )
        with pytest.raises(KeyboardInterrupt):
            call_command("rotate_keys")

    assert [Sealed(stored(row)).key_id for row in rows] == ["new", "new", "old", "old"]

    call_command("rotate_keys")

    assert {Sealed(stored(row)).key_id for row in rows} == {"new"}
    assert {row.secret for row in EmailMessage.objects.all()} == {TEXT}


def stop(owner, public_id):
    if str(public_id) in owner:
        raise KeyboardInterrupt


@pytest.mark.django_db
def test_rotation_leaves_what_it_cannot_read_and_says_so(keys):
    lost = create_row()
    keys.FIELD_KEYS = [key("second")]
    kept = create_row()
    keys.FIELD_KEYS = [key("third"), *keys.FIELD_KEYS]

    with pytest.raises(CommandError, match="1 values cannot be read"):
        call_command("rotate_keys")

    assert [Sealed(stored(row)).key_id for row in (lost, kept)] == ["old", "third"]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), "empty"),
        (("a:AAAA",), "32 bytes"),
        (("a:###",), "32 bytes"),
        (("AAAA",), "32 bytes"),
        ((":" + "A" * 43 + "=",), "letters and digits"),
        (("a:" + "A" * 43 + "=", "a:" + "B" * 43 + "="), "twice"),
    ],
)
def test_unusable_keys_are_named(lines, reason):
    with pytest.raises(BadKeys, match=reason):
        parse_keys(lines)
