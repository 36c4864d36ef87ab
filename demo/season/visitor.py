"""Someone's browser, with the site in the same process: the product's real pages, without a network."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.test import Client

from demo.journey.browser import forms_of

REDIRECTS = (301, 302, 303)


@dataclass(frozen=True)
class Page:
    url: str
    """Of the page that the redirects ended at: a path of the site, or another site's address."""
    text: str


class Visitor:
    def __init__(self, number: int) -> None:
        """Each has an address of its own, as limits count by address."""
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        self._client = Client(REMOTE_ADDR=address, SERVER_NAME="127.0.0.1")

    def get(self, path: str) -> Page:
        return self._follow(path, self._client.get(path))

    def submit(self, path: str, typed: Mapping[str, str], *, having: str = "") -> Page:
        """Fill in the form at `path` that has all these fields, and send it with its hidden ones."""
        return self.submit_next(self.get(path), typed, having=having)

    def submit_next(self, page: Page, typed: Mapping[str, str], *, having: str = "") -> Page:
        names = {*typed, having} - {""}
        forms = sorted(forms_of(page.text), key=lambda form: form.action not in ("", page.url))
        fitting = [form for form in forms if names <= form.fields.keys() | form.choices.keys()]
        if not fitting:
            raise LookupError(f"{page.url} has no form with {', '.join(sorted(names))}")
        action = fitting[0].action.partition("#")[0] or page.url
        return self._follow(action, self._client.post(action, {**fitting[0].fields, **typed}))

    def _follow(self, path: str, answer: object) -> Page:
        while answer.status_code in REDIRECTS:  # type: ignore[attr-defined] # the client's own response
            path = answer["Location"].removeprefix(settings.SITE_URL)  # type: ignore[index]
            if "://" in path:
                return Page(path, "")
            answer = self._client.get(path)
        if answer.status_code != 200:  # type: ignore[attr-defined]
            raise LookupError(f"{path} answers {answer.status_code}")  # type: ignore[attr-defined]
        return Page(path, answer.content.decode())  # type: ignore[attr-defined]
