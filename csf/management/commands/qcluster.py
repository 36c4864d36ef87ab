from typing import Any

from django.core.management.base import BaseCommand, CommandError

from csf.jobs.cluster import run
from csf.startup.process import refuse_unsafe_settings


class Command(BaseCommand):
    help = "Run a cluster of workers under the first free name of this host, until SIGTERM."

    requires_system_checks = ()  # they are lines of the log here

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_unsafe_settings()
        if not run():
            raise CommandError("The process that guards the workers has ended. Start the cluster again.")
