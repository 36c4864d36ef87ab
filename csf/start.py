"""What a process does first: read the settings, and refuse unsafe ones in words instead of by a traceback."""

import os
import sys
from typing import NoReturn

from django.conf import settings
from django.core.checks import run_checks
from environs import EnvError

# gunicorn replaces a worker that ends with any other code, for ever (its Arbiter.WORKER_BOOT_ERROR).
DO_NOT_TRY_AGAIN = 3


def read_settings(*, or_exit_with: int = 1) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "csf.settings")
    try:
        _ = settings.SECRET_KEY  # the first attribute that is asked for loads all of them
    except EnvError as error:
        _refuse(str(error), or_exit_with)


def refuse_unsafe_settings() -> None:
    """What `manage.py check --deploy` refuses, in its words."""
    found = run_checks(include_deployment_checks=settings.IS_PRODUCTION)
    serious = [str(message) for message in found if message.is_serious() and not message.is_silenced()]
    if serious:
        _refuse(
            "\n".join(["The pages do not start. `manage.py check --deploy` says:", *serious]),
            DO_NOT_TRY_AGAIN,
        )


def _refuse(why: str, exit_code: int) -> NoReturn:
    print(why, file=sys.stderr, flush=True)  # noqa: T201 - there are no settings of a log yet
    sys.exit(exit_code)
