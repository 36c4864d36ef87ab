from typing import Any

from django.core.management.base import BaseCommand

from csf.jobs.schedules import sync_schedules


class Command(BaseCommand):
    help = "Register the scheduled jobs (before each cluster start). Safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"changed={sync_schedules()}")
