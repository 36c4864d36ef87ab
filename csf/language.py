"""Babel's name for the language of the installation, `settings.LANGUAGE_CODE`: one for all people."""

from functools import lru_cache

from django.conf import settings
from django.utils.translation import to_locale


def babel_locale() -> str:
    return _locale_of(settings.LANGUAGE_CODE)


@lru_cache(maxsize=16)
def _locale_of(language: str) -> str:
    return to_locale(language)
