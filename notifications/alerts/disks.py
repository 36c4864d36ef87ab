"""How full the disks are that this process sees: its own, and the database's if that is on this machine."""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from notifications.alerts.rule import Symptom
from notifications.models import Alert

GB = 10**9
LOCAL_HOSTS = {"", "localhost", "127.0.0.1", "::1"}
# Below both the share and the amount: a tenth of a large disk lasts for years.
LIMITS = [(Alert.Level.WARNING, 0.10, 10 * GB), (Alert.Level.PAGE, 0.05, 2 * GB)]
WHAT_TO_DO = "Free up space or enlarge the disk: when it is full, PostgreSQL stops."


@dataclass(frozen=True)
class Disk:
    holds: str
    folder: Path
    total: int
    free: int

    @property
    def words(self) -> str:
        return f"{self.free / GB:.1f} of {self.total / GB:.1f} GB are free on the disk with {self.holds}"


def disk_symptoms() -> Iterator[Symptom]:
    for disk in disks():
        for level, share, amount in LIMITS:
            if disk.free < share * disk.total and disk.free < amount:
                yield Symptom("disk_full", level, disk.words, WHAT_TO_DO, str(disk.folder))


def disks() -> list[Disk]:
    """Each once, with all that is known to lie on it."""
    holds: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for what, folder in _folders():
        try:
            holds[folder.stat().st_dev].append((what, folder))
        except OSError:
            continue  # it is not here, or not ours to see
    return [
        Disk(", ".join(what for what, _ in found), found[0][1], usage.total, usage.free)
        for found in holds.values()
        if (usage := shutil.disk_usage(found[0][1])).total
    ]


def database_folder() -> Path | None:
    """None if the database runs elsewhere, or does not say."""
    host = connection.settings_dict["HOST"]
    if host not in LOCAL_HOSTS and not host.startswith("/"):
        return None
    with connection.cursor() as cursor:
        # Without permission there is no row; SHOW would be an error.
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'data_directory'")
        row = cursor.fetchone()
    return Path(row[0]) if row else None


def _folders() -> Iterator[tuple[str, Path]]:
    if found := database_folder():
        yield "the database", found
    yield "the program", Path(settings.BASE_DIR)
    yield "temporary files", Path(tempfile.gettempdir())
    yield "logs", Path("/var/log")
    yield "backups", Path("/var/lib/csf-backups")
