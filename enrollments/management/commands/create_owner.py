from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from csf.refusal import NotPossible
from enrollments.accounts.first_sign_in import LIFE_S, create_owner


class Command(BaseCommand):
    help = "Create the account of the first owner and print a link that signs in once. No email is sent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", help="the owner's address; a repeat prints a new link")

    def handle(self, *args: Any, email: str, **options: Any) -> None:
        try:
            user, link = create_owner(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is not an email address: {' '.join(error.messages)}") from error
        except NotPossible as why:
            raise CommandError(str(why)) from why
        self.stdout.write(
            f"{user.email} is an owner. This link signs in once, within {LIFE_S // 3600} hours:"
        )
        self.stdout.write(link)
