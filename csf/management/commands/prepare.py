from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from csf.jobs import sync_schedules
from csf.models import Instance
from csf.roles import make_roles


class Command(BaseCommand):
    help = "The deploy step: brings database, cache tables, roles, schedules and static files up to date."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        make_roles()
        Instance.begin()
        call_command("collectstatic", interactive=False, verbosity=0)
        self.stdout.write(f"prepared, schedules changed={sync_schedules()}")
        if why := Instance.why_quarantined():
            self.stdout.write(f"nothing is sent or charged: {why}")
