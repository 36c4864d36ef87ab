from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from enrollments.models import Household
from notifications.family_data.erase import NotYet, erase_family, why_not_yet
from notifications.family_data.find import family_of


class Command(BaseCommand):
    help = (
        "Erase a family's personal data: names, addresses, contacts, emails, copies of Stripe's data. "
        "Payments stay, without names. Refuses while a payment or a class is open. Without --yes it only "
        "prints what it would do."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("family", help="the family's number, or the email address of a guardian")
        parser.add_argument("--yes", action="store_true", help="erase; this cannot be undone")

    def handle(self, *args: Any, **options: Any) -> None:
        household = family_of(options["family"])
        if household is None:
            raise CommandError(f"There is no family {options['family']!r}.")
        if reasons := why_not_yet(household):
            raise CommandError(_not_yet(household, reasons))
        if not options["yes"]:
            self.stdout.write(
                f"family={household.pk} ({household}) would be erased for good. If they asked for an "
                "export, write it first. Then repeat with --yes."
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
