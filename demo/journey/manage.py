"""`bin/manage COMMAND`: a manage.py command with the settings and the database of the last demo.

A command that only writes files needs no demo.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from demo import embedded
from demo.journey.system import DATA, LAST, ROOT, environment_of_demo

WRITE_FILES = {"compilemessages", "document_emails", "makemessages", "makemigrations"}
NO_DATABASE = {"CSF_MODE": "test", "DATABASE_URL": "postgresql://nobody@localhost/none", "SECRET_KEY": "none"}


def main(arguments: list[str]) -> int:
    """Return the command's exit code; 2 if there is no demo."""
    if WRITE_FILES & set(arguments[:1]):
        return _run(arguments, os.environ | NO_DATABASE)
    if not LAST.exists():
        print(
            "There is no demo in this folder yet. Run bin/demo first; it creates the database.",
            file=sys.stderr,
        )
        return 2
    ports = json.loads(LAST.read_text())
    with embedded.running(DATA / "postgres") as address:
        return _run(arguments, environment_of_demo(address, **ports))


def _run(arguments: list[str], environment: Mapping[str, str]) -> int:
    command = [sys.executable, "manage.py", *arguments]
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
