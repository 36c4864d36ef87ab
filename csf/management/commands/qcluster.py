from typing import Any

from django.core.management.base import BaseCommand, CommandError

from csf.cluster import run


class Command(BaseCommand):
    help = "Run a cluster of workers, under the first free name of this host, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        if not run():
            raise CommandError("The guard of the workers has ended. Start the cluster again.")
