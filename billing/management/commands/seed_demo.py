from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.management.demo_data import load_demo_data
from csf import clock
from enrollments.models import Course, Household


class Command(BaseCommand):
    help = "Load the demo data. Safe to repeat; refused in production, because its passwords are public."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--families", type=int, default=60)
        parser.add_argument("--seed", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError("The demo data has public passwords; load it only with CSF_MODE=demo or test.")
        if options["families"] < 1:
            raise CommandError("--families must be at least 1.")
        load_demo_data(on=clock.today(), families=options["families"], seed=options["seed"])
        self.stdout.write(f"classes={Course.objects.count()} families={Household.objects.count()}")
