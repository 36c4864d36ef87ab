"""A stand-in as a process of its own: `python -m tests.bench.stand_in stripe|mail PORT`.

The mail stand-in checks no body while it is measured. A line with a number on its input makes it check that
many of the bodies that it has, spread over all of them, and say what is wrong with them.
"""

import json
import signal
import sys
from typing import Any

from demo.standins.sendgrid.check import problems
from demo.standins.sendgrid.serve import MailServer
from demo.standins.sendgrid.standin import STANDIN
from demo.standins.stripe.serve import StripeServer


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "stripe":
        with StripeServer(port=port):
            signal.pause()
    with MailServer(port=port, check=False) as server:
        _say("ready")
        for line in sys.stdin:
            _say(json.dumps(_faults(server, int(line))))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _faults(server: MailServer, count: int) -> list[Any]:
    received = server._app[STANDIN].books.requests
    sample = received[:: max(1, len(received) // count)][:count]
    return [found for one in sample if (found := problems(json.loads(one.body)))]


if __name__ == "__main__":
    main()
