"""`bin/manage COMMAND`: a manage.py command with the settings and the database of the last demo."""

import json
import subprocess
import sys

from demo import embedded
from demo.journey.system import DATA, LAST, ROOT, environment_of_demo


def main(arguments: list[str]) -> int:
    """Return the command's exit code; 2 if there is no demo."""
    if not LAST.exists():
        print(
            "There is no demo in this folder yet. Run bin/demo first; it creates the database.",
            file=sys.stderr,
        )
        return 2
    ports = json.loads(LAST.read_text())
    with embedded.running(DATA / "postgres") as address:
        environment = environment_of_demo(address, **ports)
        command = [sys.executable, "manage.py", *arguments]
        try:
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
