"""`bin/demo`: start everything on this machine, play the journey, then serve until Ctrl-C."""

import argparse
import fcntl
import signal
import sys
import time
from types import FrameType

from demo.journey import system
from demo.journey.family import PASSWORD, World
from demo.journey.journey import Journey


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bin/demo", description="Run the whole system here, with stand-ins."
    )
    parser.add_argument(
        "--once", action="store_true", help="stop after the journey; exit code 1 if an email is missing"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the data of earlier demos")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    system.DATA.mkdir(exist_ok=True)
    with (system.DATA / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("A demo is running from this folder already; stop it first.")
            return 2
        try:
            return _run(once=options.once, fresh=options.fresh)
        except KeyboardInterrupt:
            print("\nStopped.")
            return 130


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(*, once: bool, fresh: bool) -> int:
    with system.running(fresh=fresh) as world:
        complete = Journey(world).run()
        if not once:
            _serve(world)
    return 0 if complete else 1


def _serve(world: World) -> None:
    print(f"""
  Site      {world.site}/          parent1@example.org .. parent60@example.org
  Admin     {world.site}/admin/    office@example.org
  Password  {PASSWORD}               for all of them
  Mailbox   {world.mail}/
  Stripe    {world.stripe}/
  Logs      {system.DATA}/*.log

  Ctrl-C stops everything; the data stays for the next start (bin/demo --fresh forgets it).
""")
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
