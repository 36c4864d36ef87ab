"""The last release: its commit, which CHANGELOG.md names, and its code, from the history."""

import io
import re
import subprocess
import tarfile
from pathlib import Path

from tests.conftest import ROOT

HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+) \(commit ([0-9a-f]{7,40})\)$", re.MULTILINE)


def last_release(changelog: str = "") -> str:
    """The commit of the newest version that has one. Before the first release all that is committed counts
    as released."""
    text = changelog or (ROOT / "CHANGELOG.md").read_text()
    releases = [(tuple(map(int, version)), commit) for *version, commit in HEADING.findall(text)]
    if not releases:
        return "HEAD"
    (major, minor, patch), commit = max(releases)
    if subprocess.run(["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=False).returncode:
        raise LookupError(
            f"CHANGELOG.md names {commit} as release {major}.{minor}.{patch}, and the history here does not "
            "contain it. In a shallow clone run `git fetch --unshallow`, in any other `git fetch --all`."
        )
    return commit


def unpack(commit: str, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder, filter="data")


def migrations_of(commit: str) -> set[tuple[str, str]]:
    """App and name of each."""
    files = _git("ls-tree", "-r", "--name-only", commit).decode().splitlines()
    return set(re.findall(r"^(\w+)/migrations/(\d\w+)\.py$", "\n".join(files), re.MULTILINE))


def migrations_edited_since(commit: str) -> list[str]:
    """Files of the release that were changed, renamed or deleted."""
    changed = _git("diff", "--name-only", "--diff-filter=MDR", commit, "HEAD", "--", "*/migrations/*.py")
    return changed.decode().splitlines()


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
