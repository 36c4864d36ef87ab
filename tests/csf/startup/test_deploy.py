"""Image, compose file and systemd units run the same things in the same way."""

import configparser
import json
import re
import shlex
import shutil
import subprocess

import pytest

from csf.jobs.queue import URGENT
from notifications.management.commands.cluster_health import RESTART
from tests.conftest import ROOT

UNITS = ROOT / "deploy" / "systemd"


def unit(name, section="Service"):
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str
    parser.read(UNITS / name)
    return dict(parser[section])


def test_pages_are_served_with_the_same_options():
    image = json.loads(re.search(r"^CMD (.*gunicorn.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1])
    service = shlex.split(unit("csf-web.service")["ExecStart"])

    differ = {"/srv/csf/.venv/bin/gunicorn", "gunicorn", "127.0.0.1:8000", "0.0.0.0:8000"}
    assert [word for word in image if word not in differ] == [word for word in service if word not in differ]


def test_the_worker_is_stopped_gently_and_always_comes_back():
    service, compose = unit("csf-cluster.service"), (ROOT / "compose.yaml").read_text()

    assert (service["KillMode"], service["Restart"]) == ("mixed", "always")
    assert f"stop_grace_period: {service['TimeoutStopSec']}s" in compose
    assert service["ExecStart"].endswith("manage.py qcluster")
    assert service["ExecStartPre"].endswith("manage.py sync_schedules")


def test_the_worker_for_sign_in_codes_comes_and_goes_with_the_other():
    worker, urgent = unit("csf-cluster.service"), unit("csf-urgent.service")
    differ = {"ExecStartPre", "Environment"}

    assert {name: worker[name] for name in worker.keys() - differ} == {
        name: urgent[name] for name in urgent.keys() - differ
    }
    assert urgent["Environment"] == f"Q_CLUSTER_NAME={URGENT}"
    assert f'command: ["env", "Q_CLUSTER_NAME={URGENT}",' in (ROOT / "compose.yaml").read_text()
    assert unit("csf-urgent.service", "Unit")["PartOf"] == "csf-cluster.service"
    assert "csf-urgent.service" in unit("csf-cluster.service", "Unit")["Wants"]
    assert "csf-urgent.service" in (UNITS / "csf-cluster-restart.service").read_text()


def test_the_watchdog_restarts_only_what_a_restart_mends_and_stops_with_the_worker():
    watchdog = unit("csf-watchdog.service")

    assert watchdog["ExecStart"].endswith("manage.py cluster_health --alert")
    assert watchdog["SuccessExitStatus"] == "1"
    assert RESTART not in {0, 1}
    assert unit("csf-watchdog.service", "Unit")["OnFailure"] == "csf-cluster-restart.service"
    assert unit("csf-watchdog.timer", "Unit")["PartOf"] == "csf-cluster.service"
    assert "csf-watchdog.timer" in unit("csf-cluster.service", "Unit")["Wants"]


def test_compose_ends_a_worker_that_stands_still_so_that_it_is_started_again():
    compose = (ROOT / "compose.yaml").read_text()

    assert f"cluster_health --alert; code=$$?; [ $$code -ne {RESTART} ] || kill -KILL -1" in compose
    assert "restart: always" in compose


def test_the_nightly_backup_is_written_where_the_unit_may_write():
    service = unit("csf-backup.service")

    assert service["ExecStart"].endswith(f"manage.py backup /var/lib/{service['StateDirectory']} --keep 14")
    assert "postgresql-client" in (ROOT / "Dockerfile").read_text()


def test_the_example_of_a_proxy_waits_for_slow_visitors_itself():
    proxy = (ROOT / "deploy/nginx/csf.conf").read_text()

    for line in ("proxy_request_buffering on;", "client_body_timeout 10s;", "client_header_timeout 10s;"):
        assert line in proxy
    assert "X-Forwarded-For $remote_addr;" in proxy


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
def test_systemd_understands_the_units(tmp_path):
    for path in UNITS.iterdir():  # with a program that is there: the paths are those of the server
        text = re.sub(r"(?<==)(-?)/(srv|bin)/\S+", r"\1/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text.replace("WorkingDirectory=/bin/true", "WorkingDirectory=/"))

    verified = subprocess.run(
        ["systemd-analyze", "verify", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )

    assert (verified.returncode, verified.stderr) == (0, "")
