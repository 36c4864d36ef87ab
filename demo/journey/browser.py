"""A minimal browser: pages, forms with their hidden fields, redirects."""

from collections.abc import Mapping
from html.parser import HTMLParser

import requests


class Browser:
    def __init__(self, site: str) -> None:
        self.site = site
        self._session = requests.Session()
        # Stories pause for about as long as servers keep connections: a kept one may close while in use.
        self._session.headers["Connection"] = "close"

    def get(self, path: str) -> str:
        return self._page(path).text

    def submit(self, path: str, typed: Mapping[str, str], *, having: str = "") -> requests.Response:
        """Fill in the form at `path` that has all these fields and send it; returns the resulting page.

        The form's tokens and hidden fields are sent too. A form of the page itself is preferred to one that
        leads elsewhere, such as signing out.
        """
        return self.submit_next(self._page(path), typed, having=having)

    def submit_next(
        self, page: requests.Response, typed: Mapping[str, str], *, having: str = ""
    ) -> requests.Response:
        """Like `submit`, with a form of the page that the last one led to."""
        path, names = page.url.removeprefix(self.site), {*typed, having} - {""}
        forms = sorted(forms_of(page.text), key=lambda form: form.action not in ("", path))
        fitting = [form for form in forms if names <= form.fields.keys() | form.choices.keys()]
        assert fitting, f"{path} has no form with {', '.join(sorted(names))}"
        page = self._session.post(
            self.site + (fitting[0].action.partition("#")[0] or path),
            data={**fitting[0].fields, **typed},
            headers={"Referer": page.url},
            timeout=30,
        )
        page.raise_for_status()
        return page

    def _page(self, path: str) -> requests.Response:
        page = self._session.get(self.site + path, timeout=30)
        page.raise_for_status()
        return page

    def send(self, url: str, typed: Mapping[str, str]) -> requests.Response:
        """Send a form to another site, such as a payment page."""
        return self._session.post(url, data=dict(typed), timeout=30)


class Form:
    def __init__(self, action: str) -> None:
        self.action = action
        self.fields: dict[str, str] = {}
        self.choices: dict[str, list[tuple[str, str]]] = {}
        """The values and labels of each group of radio buttons."""


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._radio: tuple[str, str] | None = None
        self._label = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self.forms.append(Form(given.get("action", "")))
        elif tag == "textarea" and self.forms:
            self.forms[-1].fields[given["name"]] = ""
        elif tag == "input" and self.forms and "name" in given:
            name, kind, value = given["name"], given.get("type", "text"), given.get("value", "")
            if kind == "radio":
                self._radio, self._label = (name, value), ""
            elif kind != "checkbox" or "checked" in given:
                self.forms[-1].fields[name] = value

    def handle_data(self, data: str) -> None:
        self._label += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "label" and self._radio:
            name, value = self._radio
            self.forms[-1].choices.setdefault(name, []).append((value, " ".join(self._label.split())))
            self._radio = None


def forms_of(html: str) -> list[Form]:
    parser = _FormParser()
    parser.feed(html)
    return parser.forms
