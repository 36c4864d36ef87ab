from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from enrollments.models import Household
from notifications.family_data.erase import NotYet, erase_family, why_not_yet
from notifications.family_data.find import family_of


class Command(BaseCommand):
    help = (
        "Erase who a family is: names, addresses, contacts, emails, Stripe's copies. What was paid stays, "
        "without them. Refuses while money or a class is open. Without --yes it only says what it would do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("family", help="its number, or the email address of a guardian")
        parser.add_argument("--yes", action="store_true", help="erase; it cannot be taken back")

    def handle(self, *args: Any, **options: Any) -> None:
        household = family_of(options["family"])
        if household is None:
            raise CommandError(f"There is no family {options['family']!r}.")
        if reasons := why_not_yet(household):
            raise CommandError(_not_yet(household, reasons))
        if not options["yes"]:
            self.stdout.write(
                f"family={household.pk} ({household}) would be erased for good. Write an export first if "
                "they asked for one, then repeat with --yes."
            )
            return
        try:
            erased = erase_family(household)
        except NotYet as error:
            raise CommandError(_not_yet(household, error.args)) from error
        self.stdout.write(f"family={household.pk} erased rows={erased.rows}")
        for line in erased.remains:
            self.stdout.write(f"remains: {line}")


def _not_yet(household: Household, reasons: Iterable[str]) -> str:
    return f"Family {household.pk} cannot be erased yet: {'; '.join(reasons)}."
