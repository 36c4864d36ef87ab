"""Real processes that drain, forked one after the other from one that has loaded the product."""

import os
import signal
import subprocess
import sys

from tests.conftest import ROOT
from tests.waiting import PATIENCE_S

PROGRAM = """
import os, sys, time, django
django.setup()
from notifications.sending import drain
{prepare}
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        {work}
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """`prepare` is run once, `work` (one line) in each child."""

    def __init__(self, prepare, work):
        self.child = None
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", PROGRAM.format(prepare=prepare, work=work)],
            cwd=ROOT,
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self.process.stdout.readline() == "ready\n", "the process to fork from did not start"

    def start(self):
        self.process.stdin.write("start\n")
        self.child = int(self.process.stdout.readline())
        return self.child

    def end(self):
        """Its exit code; the number of the signal, negative, if it was killed."""
        self.child = None
        return int(self.process.stdout.readline())

    def kill(self):
        os.kill(self.child, signal.SIGKILL)
        assert self.end() == -signal.SIGKILL

    def close(self):
        """Nothing may go on draining in the database of the next test."""
        if self.child:
            self.kill()
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()
