"""What a process says that cannot start: one line that names the setting, and no traceback."""

import json
import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from environs import EnvError

from csf.encryption import parse_keys
from csf.logs.redaction import redact_ours
from csf.startup.environment import HOW, environment
from csf.startup.process import DO_NOT_TRY_AGAIN
from enrollments.models import User
from tests.conftest import ADDRESS as ADDRESS_OF_SERVER
from tests.conftest import ROOT

ADDRESS = "DATABASE_URL=postgresql://nobody@localhost/none\n"
NAMES = ("SECRET_KEY", "DATABASE_URL")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in (*NAMES, "SCHOOL_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", f"Set SECRET_KEY and DATABASE_URL, in the environment or in {{file}}. {HOW}"),
        ("SECRET_KEY=\n" + ADDRESS, f"Set SECRET_KEY, in the environment or in {{file}}. {HOW}"),
        ("SECRET_KEY=x\n", f"Set DATABASE_URL, in the environment or in {{file}}. {HOW}"),
        (
            "SECRET_KEY=x\nDATABASE_URL=mysql://localhost/csf\n",
            "DATABASE_URL must start with postgresql://: no other database is supported.",
        ),
        (
            "SECRET_KEY=x\n\nSCHOOL_NAME=School #4\n",
            "Line 3 of {file}: the value of SCHOOL_NAME would end before the #. Put the whole value in "
            "single quotes, or the comment on its own line.",
        ),
        (
            "SCHOOL_NAME= # to do\n",
            "Line 1 of {file}: the value of SCHOOL_NAME would end before the #. Put the whole value in "
            "single quotes, or the comment on its own line.",
        ),
        (
            "# keys\nSECRET_KEY='x\n",
            "Line 2 of {file} cannot be read: write NAME=value, or NAME='value' if it has quotes in it.",
        ),
    ],
)
def test_each_mistake_in_env_is_one_sentence(tmp_path, text, said):
    file = tmp_path / ".env"
    file.write_text(text)

    with pytest.raises(EnvError) as refused:
        environment(file, required=NAMES)

    assert str(refused.value) == said.format(file=file)


def test_a_hash_that_is_no_remark_stays_in_the_value(tmp_path, monkeypatch):
    for name in ("A", "B", "C"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / ".env"
    file.write_text(f"# one\nSECRET_KEY=x\n{ADDRESS}A=room#4\nexport B='School #4' # remark\nC=\"it's #1\"\n")
    env = environment(file, required=NAMES)

    assert [env.str(name) for name in ("A", "B", "C")] == ["room#4", "School #4", "it's #1"]


def run(*command, **settings):
    left_out = {*NAMES, "CSF_MODE", "DJANGO_SETTINGS_MODULE"}
    named = {name: value for name, value in os.environ.items() if name not in left_out}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=named | settings, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("command", "settings", "said", "exit_code"),
    [
        (["manage.py", "help"], {}, "Set SECRET_KEY and DATABASE_URL, in", 1),
        (["manage.py", "check"], {"SECRET_KEY": "x", "DATABASE_URL": "x"}, "DATABASE_URL must start", 1),
        (
            ["manage.py", "check"],
            {"SECRET_KEY": "x", "DATABASE_URL": "postgresql://none", "EMAIL_THREADS": "many"},
            'Environment variable "EMAIL_THREADS" invalid: Not a valid integer.',
            1,
        ),
        (["-c", "import csf.wsgi"], {}, "Set SECRET_KEY and DATABASE_URL, in", DO_NOT_TRY_AGAIN),
    ],
)
def test_no_process_ends_in_a_traceback(command, settings, said, exit_code):
    ended = run(*command, **settings)

    assert (ended.returncode, ended.stdout) == (exit_code, "")
    assert ended.stderr.startswith(said)
    assert ended.stderr.count("\n") == 1


GUNICORN = ["-m", "gunicorn", "csf.wsgi", "--bind", "127.0.0.1:0", "--no-control-socket"]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("command", "exit_code"), [(GUNICORN, DO_NOT_TRY_AGAIN), (["manage.py", "qcluster"], 1)]
)
def test_pages_and_worker_log_what_check_refuses_and_end(command, exit_code):
    unsafe = {"SECRET_KEY": "short", "DATABASE_URL": "postgresql://nobody@localhost/none"}
    ended = run(*command, **unsafe)
    checked = run("manage.py", "check", "--deploy", **unsafe)

    refused = [line for line in checked.stderr.splitlines() if "(csf.E" in line]
    assert "?: (csf.E009) Set SECRET_KEY to at least 50 random characters." in refused
    assert {redact_ours(line) for line in refused} <= {
        json.loads(line)["message"] for line in ended.stderr.splitlines()
    }
    assert ended.returncode == exit_code


def test_new_keys_need_no_setting_and_fit_into_env(tmp_path, monkeypatch):
    printed = run("manage.py", "new_keys")
    file = tmp_path / ".env"
    file.write_text(printed.stdout + ADDRESS)
    names = [line.partition("=")[0] for line in printed.stdout.splitlines()]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    env = environment(file, required=NAMES)

    assert (printed.returncode, printed.stderr) == (0, "")
    assert names == ["SECRET_KEY", "FIELD_KEYS", "STRIPE_WEBHOOK_UUID", "POSTGRES_PASSWORD"]
    assert len(env.str("SECRET_KEY")) >= 50
    assert len(parse_keys((env.str("FIELD_KEYS"),))) == 1
    assert env.uuid("STRIPE_WEBHOOK_UUID").version == 4
    assert run("manage.py", "new_keys").stdout != printed.stdout


def test_prepare_says_that_it_may_not_write_the_static_files(db, settings, monkeypatch):
    def collect(name, **options):
        if name == "collectstatic":
            raise PermissionError(13, "Permission denied", "/srv/csf/staticfiles/a.css")

    monkeypatch.setattr("csf.management.commands.prepare.call_command", collect)
    monkeypatch.setattr("csf.management.commands.prepare.getuser", lambda: "csf")
    settings.STATIC_ROOT = "/srv/csf/staticfiles"

    with pytest.raises(CommandError) as refused:
        call_command("prepare", stdout=StringIO())
    assert str(refused.value) == (
        "Static files cannot be written: [Errno 13] Permission denied: '/srv/csf/staticfiles/a.css'. "
        "As root, create the folder for the user who runs this: install -d -o csf /srv/csf/staticfiles"
    )


def test_createsuperuser_refuses_an_address_that_has_an_account(db, monkeypatch):
    User.objects.create_user("maria@example.org")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "x")

    with pytest.raises(CommandError, match=r"Maria@example.org has an account already; create_owner makes"):
        call_command("createsuperuser", email="Maria@example.org", interactive=False)


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("csf_nowhere", 'FATAL:  database "csf_nowhere" does not exist\n'),
        ("postgres", "The database has not the tables of this version: run `manage.py prepare`.\n"),
    ],
)
def test_a_command_says_in_a_line_what_is_wrong_with_the_database(database, said):
    given = os.environ | {"DATABASE_URL": f"{ADDRESS_OF_SERVER}/{database}", "SECRET_KEY": "x"}
    command = [sys.executable, "manage.py", "cluster_health"]

    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(said)
    assert "Traceback" not in done.stderr
