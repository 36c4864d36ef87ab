"""The three ways in which a template of an email is rendered: as HTML, as text, and for its subject.

A template extends `layout.jinja` and is made of components and prose. Each way has a layout and components of
its own (`layout.html.jinja`, `components.txt.jinja` ...), so the words are written once. `shared.jinja` holds
the sentences and tables that several kinds need.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any, Literal

from django.conf import settings
from django.utils.translation import get_language_bidi, gettext, ngettext
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.runtime import Macro
from markupsafe import Markup, escape

from billing.models import InstallmentStatus
from csf.templatetags.csf_format import day, moment, money, ordinal, time_of_day
from notifications.palette import BRAND, LIGHT
from notifications.school import School
from notifications.styles import FOLDER, with_styles
from notifications.words import GLUE, TO

Way = Literal["html", "txt", "subject"]

OWN_TO_EACH_WAY = {"layout.jinja", "components.jinja"}
PART_STATES = dict(InstallmentStatus.choices)
# Without something after the preview text the inbox goes on with the start of the mail.
FILLER = "\u034f\u200c\u00a0" * 60
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_SPACE = re.compile(r"[ \n]+")


@lru_cache(maxsize=16)
def environment(way: Way, language: str) -> Environment:
    """Compiled once a process. It keeps what it looked up in this language, which must be active."""
    made = Environment(
        loader=_Loader(way),
        autoescape=way == "html",  # noqa: S701 - texts and subjects are no HTML
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=settings.DEBUG,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_callables(_translated(), _translated_of_number, newstyle=True)  # type: ignore[attr-defined]
    made.filters |= FILTERS | (IN_HTML if way == "html" else IN_TEXT)
    made.globals |= {"school": School(), "hours": hours, "brand": BRAND, "light": LIGHT}
    made.globals |= {"filler": FILLER, "gap": GLUE}
    made.globals |= {"language": language, "direction": "rtl" if get_language_bidi() else "ltr"}
    made.globals["shared"] = shared = SimpleNamespace()  # for the components, which are made before it
    if way != "subject":
        made.globals |= _macros(made, "components.jinja")
    made.globals |= _macros(made, "shared.jinja")
    vars(shared).update(_macros(made, "shared.jinja"))
    return made


class _Loader(FileSystemLoader):
    def __init__(self, way: Way) -> None:
        super().__init__(FOLDER)
        self.way = way

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        own = template in OWN_TO_EACH_WAY
        name = template.replace(".jinja", f".{self.way}.jinja") if own else template
        source, path, is_fresh = super().get_source(environment, name)
        return with_styles(source) if self.way == "html" else source, path, is_fresh


def _macros(made: Environment, template: str) -> dict[str, Macro]:
    module = made.get_template(template).module
    return {name: value for name, value in vars(module).items() if isinstance(value, Macro)}


# --- Translation --------------------------------------------------------------------------------------------


def _translated() -> Callable[[str], str]:
    @cache
    def translated(message: str) -> str:
        return _fitting(gettext(message), message)

    return translated


def _translated_of_number(singular: str, plural: str, number: int) -> str:
    return _fitting(ngettext(singular, plural, number), singular if number == 1 else plural)


def _fitting(translation: str, original: str) -> str:
    """The original if the translation has a placeholder that nothing fills."""
    fits = set(_PLACEHOLDER.findall(translation)) <= set(_PLACEHOLDER.findall(original))
    return translation if fits else original


# --- Filters ------------------------------------------------------------------------------------------------


def absolute(path: str) -> str:
    return f"{settings.SITE_URL}{path}"


def installment_state(status: str) -> str:
    return str(PART_STATES[status])


def session_time(session: Mapping[str, str]) -> str:
    return f"{day(session['on'])}, {hours(session['from'], session['to'])}"


def hours(start: str, end: str) -> str:
    return f"{time_of_day(start)}{TO}{time_of_day(end)}"


def one_line(value: str) -> str:
    return _SPACE.sub(" ", value).strip(" ")


def rows(value: str) -> str:
    """Of a text: its lines without the gaps and indents of the template. GLUE makes those that are meant."""
    lines = (line.strip(" ") for line in value.split("\n"))
    return "\n".join("" if line == GLUE else line for line in lines if line)


def indented(value: str) -> str:
    return f"{GLUE}{GLUE}{value}"


FILTERS: dict[str, Callable[..., str]] = {
    "money": money,
    "day": day,
    "moment": moment,
    "time_of_day": time_of_day,
    "ordinal": ordinal,
    "absolute": absolute,
    "installment_state": installment_state,
    "session_time": session_time,
    "one_line": one_line,
    "rows": rows,
    "indented": indented,
}


def _element(start: str, end: str) -> Callable[[Any], str]:
    start = with_styles(start)

    def element(value: Any) -> str:
        return Markup(f"{start}{escape(value)}{end}") if value else ""  # noqa: S704 - escaped

    return element


IN_HTML: dict[str, Callable[[Any], str]] = {
    "strong": _element('<span class="strong">', "</span>"),
    "muted": _element('<span class="muted">', "</span>"),
    "keep": _element('<span class="keep">', "</span>"),
    "struck": _element("<s>", "</s>"),
    # A name, whose letters may run the other way than the sentence around it. The element `bdi` would say so
    # too, but most mail programs drop it.
    "bdi": _element('<span dir="auto">', "</span>"),
}
IN_TEXT: dict[str, Callable[[Any], str]] = dict.fromkeys(IN_HTML, str)
