from getpass import getuser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from csf.jobs.schedules import sync_schedules
from csf.models import Instance
from csf.staff.roles import make_roles


class Command(BaseCommand):
    help = (
        "Bring the database, cache tables, roles, schedules and static files up to date, with every deploy."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
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
        self.stdout.write(f"prepared, schedules changed={sync_schedules()}")
        if why := Instance.why_quarantined():
            self.stdout.write(f"nothing is sent or charged: {why}")
