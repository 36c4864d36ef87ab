"""What a process does first: read the settings, and refuse unsafe ones with a sentence instead of a
traceback."""

import logging
import os
import sys

from django.conf import settings
from django.core.checks import run_checks
from django.core.management import ManagementUtility, get_commands, load_command_class
from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError
from environs import EnvError

logger = logging.getLogger(__name__)

# gunicorn replaces a worker that ends with any other code, for ever (its Arbiter.WORKER_BOOT_ERROR).
DO_NOT_TRY_AGAIN = 3
MISSING = {"42P01", "42703", "42883"}  # PostgreSQL's numbers for a table, a column and a function


def read_settings(*, or_exit_with: int = 1) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "csf.settings")
    try:
        _ = settings.SECRET_KEY  # the first attribute that is asked for loads all of them
    except EnvError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201 - there are no settings of a log yet
        sys.exit(or_exit_with)


class _Commands(ManagementUtility):
    """Each daily job is a command of its own name, too."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        from csf.jobs.declared import daily_jobs  # has models, which load later

        if subcommand in get_commands() or subcommand not in daily_jobs():
            return super().fetch_command(subcommand)
        command = load_command_class("csf", "run_job")
        command.job = daily_jobs()[subcommand]  # type: ignore[attr-defined]
        return command


def run_command(arguments: list[str]) -> None:
    """Say in one line that the database is down, or does not have the tables of this version."""
    try:
        _Commands(arguments).execute()
    except (OperationalError, ProgrammingError) as error:
        sqlstate = getattr(error.__cause__, "sqlstate", None)
        if sqlstate in MISSING:
            sys.exit("The database has not the tables of this version: run `manage.py prepare`.")
        if isinstance(error, ProgrammingError) or sqlstate:
            raise
        sys.exit(f"The database does not answer: {str(error).strip().splitlines()[-1]}")


def refuse_unsafe_settings(*, or_exit_with: int = 1) -> None:
    """Log what `manage.py check --deploy` says; the process ends if it refuses something."""
    found = run_checks(include_deployment_checks=settings.IS_PRODUCTION)
    heard = [message for message in found if not message.is_silenced()]
    for message in heard:
        logger.log(message.level, "%s", message)
    if any(message.is_serious() for message in heard):
        logger.critical("not started: `manage.py check --deploy` refuses these settings")
        sys.exit(or_exit_with)
