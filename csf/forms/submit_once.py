"""A form does its work once, no matter how often and how fast its button is pressed."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from django.http import HttpRequest

from csf.models import FormPress

AGAIN = "This form was already sent, and done once. Open it again to do the same another time."


class PressedAgain(Exception):
    """The same form, from the same person, with the same content."""


def new_press() -> str:
    """For the hidden field `press`: it distinguishes a form that was opened again from one that was sent
    twice."""
    return uuid4().hex


@contextmanager
def once(request: HttpRequest) -> Iterator[None]:
    """Around what a form does. Raises PressedAgain, also while the first press is still being handled.

    It commits before the work, which may call other services; work that raises may be tried again.
    """
    press, is_first = FormPress.objects.get_or_create(key=_key(request))
    if not is_first:
        raise PressedAgain
    try:
        yield
    except BaseException:
        press.delete()
        raise


def _key(request: HttpRequest) -> str:
    sent = sorted(
        (name, *request.POST.getlist(name)) for name in request.POST if name != "csrfmiddlewaretoken"
    )
    return hashlib.sha256(repr([request.user.pk, request.path, sent]).encode()).hexdigest()
