from getpass import getuser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError

from csf import __version__
from csf.database.lock_timeout import lock_waits_limited
from csf.database.retry import LOCK_TIMEOUT, sqlstate
from csf.jobs.schedules import sync_schedules
from csf.models import Instance
from csf.staff.roles import make_roles

LOCK_WAIT_MS = 2000
TRIES = 10


class Command(BaseCommand):
    help = (
        "Bring the database, cache tables, roles, schedules and static files up to date, with every deploy."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        _migrate()
        call_command("createcachetable", verbosity=0)
        make_roles()
        Instance.begin()
        try:
            call_command("collectstatic", interactive=False, verbosity=0)
        except PermissionError as error:
            folder = settings.STATIC_ROOT
            raise CommandError(
                f"Static files cannot be written: {error}. As root, create the folder for the user who "
                f"runs this: install -d -o {getuser()} {folder}"
            ) from error
        self.stdout.write(f"prepared for version {__version__}, schedules changed={sync_schedules()}")
        if why := Instance.why_quarantined():
            self.stdout.write(f"nothing is sent or charged: {why}")


def _migrate() -> None:
    """The previous version keeps running meanwhile, and its statements queue behind a migration that waits
    for a table. So it does not wait for long, and tries again."""
    for _ in range(TRIES):
        try:
            with lock_waits_limited(ms=LOCK_WAIT_MS):
                call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            if sqlstate(error) != LOCK_TIMEOUT:
                raise
        else:
            return
    raise CommandError(
        "A table that a migration changes was in use all the time. What is done stays done: run this again, "
        "perhaps when less is going on. `SELECT pid, xact_start, query FROM pg_stat_activity` shows by whom."
    )
