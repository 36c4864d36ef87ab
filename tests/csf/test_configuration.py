"""What the settings read, `.env.example` and the README's table name the same variables."""

import re

from tests.conftest import ROOT

READ = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', (ROOT / "csf/settings.py").read_text()))


def test_env_example_lists_every_variable():
    listed = set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert listed == READ


def test_the_readme_explains_every_variable():
    explained = set(re.findall(r"`([A-Z][A-Z_]{3,})`", (ROOT / "README.md").read_text()))

    assert explained >= READ
