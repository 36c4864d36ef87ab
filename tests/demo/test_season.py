"""A small school through two weeks in which much goes wrong: what families were promised came, and nothing
else."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ADDRESS, ROOT


@pytest.mark.processes
def test_a_season_with_faults_adds_up(template):
    command = [sys.executable, "-m", "demo.season", "--families", "6", "--weeks", "2", "--faults", "--json"]
    done = subprocess.run([*command, "--server", ADDRESS], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["differences"] == []
    assert result["emails"]["order_confirmation"] >= 5
    assert result["payments"] == result["emails"]["payment_success"] >= 5
