"""The three ways in which a template of an email is rendered: as HTML, as text, and for its subject.

A template extends `layout.jinja` and is made of components and prose. Each way has a layout and components of
its own (`layout.html.jinja`, `components.txt.jinja` ...), so the words are written once. `shared.jinja` holds
the sentences and tables that several kinds need.
"""

import re
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, Literal

from django.conf import settings
from django.utils.translation import get_language_bidi
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, nodes, pass_context
from jinja2.runtime import BlockReference, Context, Macro
from jinja2.utils import internalcode
from markupsafe import Markup, escape

from billing.models import InstallmentStatus
from csf.templatetags.csf_format import day, moment, money, ordinal, time_of_day
from notifications.rendering.inlined import Inlined, copied
from notifications.rendering.palette import BRAND, LIGHT
from notifications.rendering.school import SCHOOL
from notifications.rendering.styles import FOLDER, with_styles
from notifications.rendering.translated import TranslatedOnce, translate_constants
from notifications.rendering.words import GLUE, TO

Way = Literal["html", "txt", "subject"]

OWN_TO_EACH_WAY = {"layout.jinja", "components.jinja"}
MACROS = {"components.jinja", "shared.jinja"}
PART_STATES = dict(InstallmentStatus.choices)
# Without padding after the preview text, the inbox shows the start of the email behind it.
FILLER = "\u034f\u200c\u00a0" * 60
_SPACE = re.compile(r"[ \n]+")


@lru_cache(maxsize=16)
def environment(way: Way, language: str) -> Environment:
    """Compiled once a process. It keeps the words of this language, which must be active."""
    made = _Environment(
        loader=_Loader(way),
        autoescape=way == "html",
        undefined=StrictUndefined,
        extensions=[TranslatedOnce],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=settings.DEBUG,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.filters |= FILTERS | (IN_HTML if way == "html" else IN_TEXT)
    made.globals |= {"school": SCHOOL, "hours": hours, "brand": BRAND, "light": LIGHT}
    made.globals |= {"filler": FILLER, "gap": GLUE}
    made.globals |= {"language": language, "direction": "rtl" if get_language_bidi() else "ltr"}
    made.globals["shared"] = shared = SimpleNamespace()  # for the components, which are made before it
    if way != "subject":
        made.globals |= _macros(made, "components.jinja")
    made.globals |= (found := _macros(made, "shared.jinja"))
    vars(shared).update(found)
    return made


class _Context(Context):
    @internalcode
    def call(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        """Macros and blocks never want to see the context, so they are spared the detour to find out."""
        if type(function) not in {Macro, BlockReference}:
            return super().call(function, *args, **options)
        options.pop("_block_vars", None)
        options.pop("_loop_vars", None)
        return function(*args, **options)


class _Environment(Environment):
    context_class = _Context

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.macros: dict[str, nodes.Macro] = {}
        self.compiled: dict[str, Template] = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Most facts are in dictionaries, where Jinja looks for a method of that name first."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def get_template(self, name: str | Template, *args: Any, **options: Any) -> Template:
        """Asked for six times a mail, so it looks no further than necessary."""
        if not isinstance(name, str) or self.auto_reload:
            return super().get_template(name, *args, **options)
        if name not in self.compiled:
            self.compiled[name] = super().get_template(name, *args, **options)
        return self.compiled[name]

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """A plain dict, which is faster to copy than Jinja's chain."""
        return {**self.globals, **(d or {})}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = translate_constants(super()._parse(source, name, filename))
        if name in MACROS:
            for macro in template.find_all(nodes.Macro):
                assert macro.name not in self.macros, f"{name}: a second {macro.name}"
                self.macros[macro.name] = copied(macro)
            return template
        template.body = [part for old in template.body for part in Inlined(self.macros).visit_list(old)]
        template.set_environment(self)
        return template


class _Loader(FileSystemLoader):
    def __init__(self, way: Way) -> None:
        super().__init__(FOLDER)
        self.way = way

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        own = template in OWN_TO_EACH_WAY
        name = template.replace(".jinja", f".{self.way}.jinja") if own else template
        source, path, is_fresh = super().get_source(environment, name)
        source = source.replace("endtrans %}\n", "endtrans +%}\n")  # sentences are parted
        return with_styles(source) if self.way == "html" else source, path, is_fresh


def _macros(made: Environment, template: str) -> dict[str, Macro]:
    module = made.get_template(template).module
    return {name: value for name, value in vars(module).items() if isinstance(value, Macro)}


# --- Filters ------------------------------------------------------------------------------------------------


@pass_context  # so that it is asked at each rendering, also about a constant: the address is a setting
def absolute(context: Context, path: str) -> str:
    return f"{SCHOOL.site}{path}"


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


def kept_together(value: str) -> str:
    return value.replace(" ", GLUE)


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
IN_TEXT: dict[str, Callable[[Any], str]] = dict.fromkeys(IN_HTML, str) | {"keep": kept_together}
