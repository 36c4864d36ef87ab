"""The SendGrid stand-in in a process of its own, with its books within reach."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from demo.standins.sendgrid.serve import MailServer
from tests.bench.surroundings import ROOT, port_of


@dataclass
class Mail:
    server: MailServer
    """Not started: only the calls, to the process that has the port."""
    process: "subprocess.Popen[str]"

    def faults(self, count: int) -> list[Any]:
        """What SendGrid would refuse in that many of the bodies."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return list(json.loads(self.process.stdout.readline()))


@contextmanager
def mail_stand_in() -> Iterator[Mail]:
    port = port_of("SENDGRID_API_URL")
    command = [sys.executable, "-m", "tests.bench.stand_in", "mail", str(port)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n", "the stand-in did not start"
        try:
            yield Mail(MailServer(port=port), started)
        finally:
            started.terminate()
