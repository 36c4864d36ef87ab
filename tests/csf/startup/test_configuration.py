"""What the settings read, `.env.example` and the README's table name the same variables."""

import os
import re
import subprocess
import sys

import pytest
from anymail.utils import parse_address_list

from tests.conftest import ROOT

COMPOSE = {"POSTGRES_PASSWORD"}
READ = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', (ROOT / "csf/settings.py").read_text()))


def test_env_example_lists_every_variable():
    listed = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert listed == READ | COMPOSE


def test_the_readme_explains_every_variable():
    explained = set(re.findall(r"`([A-Z][A-Z_]{3,})`", (ROOT / "README.md").read_text()))

    assert explained >= READ | COMPOSE


@pytest.mark.parametrize(
    "name", ['Sparks, Inc. (NY) [a] <b@c.example>; "d" \\ e', 'The "Sparks', "École des Étincelles", "", "@"]
)
def test_any_name_of_the_school_makes_one_sender(name):
    environment = os.environ | {
        "SCHOOL_NAME": name,
        "SCHOOL_EMAIL": "office@example.org",
        "DEFAULT_FROM_EMAIL": "",  # as .env.example has it
    }
    shown = subprocess.run(
        [sys.executable, "-c", "from csf import settings; print(settings.DEFAULT_FROM_EMAIL)"],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()

    (sender,) = parse_address_list([shown])

    assert (sender.display_name, sender.addr_spec) == (name, "office@example.org")


def test_a_form_may_lead_to_stripes_pages_on_a_domain_of_the_schools_own():
    code = "from csf import settings; print(settings.CONTENT_SECURITY_POLICY['DIRECTIVES']['form-action'])"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"STRIPE_PAGES_DOMAIN": "pay.example.org"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert "'https://pay.example.org'" in shown
    assert "'https://checkout.stripe.com'" in shown
