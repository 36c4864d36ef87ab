"""Two demos at once get different ports; bin/manage says when there is no demo."""

import socket
import subprocess
import sys
from contextlib import ExitStack

import pytest

from demo import embedded
from demo.journey import manage
from demo.standins.ports import NoFreePort, reserve

ASK = "import sys; from contextlib import ExitStack; from demo.standins.ports import reserve\n"
ASK += "with ExitStack() as all: print(*reserve(all, [18400, 18401]), flush=True); sys.stdin.read()"


def test_two_who_ask_at_once_get_different_ports_though_nothing_listens_yet():
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    ports = [int(port) for asker in askers for port in asker.stdout.readline().split()]
    for asker in askers:
        asker.communicate("")

    assert len(ports) == len(set(ports)) == 6
    with ExitStack() as running:
        assert reserve(running, [min(ports)]) == [min(ports)]  # free again


def test_a_port_on_which_somebody_listens_is_not_given():
    with socket.socket() as other, ExitStack() as running:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        assert reserve(running, [taken])[0] > taken


def test_ports_that_are_all_taken_are_an_error_in_words(monkeypatch):
    monkeypatch.setattr("demo.standins.ports._is_free", lambda port: False)
    with ExitStack() as running, pytest.raises(NoFreePort, match="no free port from 18500"):
        reserve(running, [18500])


def test_without_a_demo_manage_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(manage, "LAST", tmp_path / "demo.json")

    assert manage.main(["check"]) == 2
    assert "Run bin/demo first" in capsys.readouterr().err


def test_the_last_to_leave_stops_the_server(tmp_path):
    with embedded.running(tmp_path / "postgres", durable=False) as first:
        with embedded.running(tmp_path / "postgres", durable=False) as second:
            assert first == second
        embedded.create_database(first, "csf")  # still running
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
