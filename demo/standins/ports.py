"""Free ports of this machine, reserved against other demos and tests that start at the same time."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

NEXT = 1000


class NoFreePort(Exception):
    """None of the ports tried is free."""


def reserve(running: ExitStack, wanted: Sequence[int]) -> list[int]:
    """Return each wanted port, or the next free one above it.

    No other caller gets the same port until `running` ends, even before anything listens on it.
    """
    return [_reserve(running, first) for first in wanted]


def _reserve(running: ExitStack, first: int) -> int:
    for port in range(first, first + NEXT):
        try:
            lock = (Path(tempfile.gettempdir()) / f"csf-port-{port}-{os.getuid()}.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        if _is_free(port):
            running.enter_context(lock)
            return port
        lock.close()
    raise NoFreePort(f"no free port from {first} to {first + NEXT - 1}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
