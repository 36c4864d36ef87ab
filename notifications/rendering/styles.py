"""The style of each class of `email.css`, written into the elements: many mail programs know no style sheets.

The selectors of `email.css` are single classes, so the style of an element depends on nothing else.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from css_inline import CSSInliner
from django.conf import settings
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from notifications.rendering.palette import ACCENTS, BRAND, DARK, LIGHT

FOLDER = Path(settings.BASE_DIR) / "templates" / "emails"
ANY_ACCENT = "grey"  # the colours of a kind are on its badge only

_INLINER = CSSInliner(load_remote_stylesheets=False, minify_css=True)
_CLASSES = re.compile(r' class="[^"{]+"')
_SHEETS = Environment(undefined=StrictUndefined)  # noqa: S701 - style sheets, no HTML


def with_styles(html: str) -> str:
    """Part of a template, or of what a filter writes; never a value, since this looks for classes in it."""
    return _CLASSES.sub(lambda found: with_style(found[0], ANY_ACCENT), html)


@lru_cache(maxsize=1024)
def with_style(classes: str, accent: str) -> str:
    """` class="p"` with its style."""
    inlined = _INLINER.inline_fragment(f"<p{classes}></p>", style_sheet("email.css", accent))
    return inlined.removeprefix("<p").removesuffix("></p>")


@lru_cache(maxsize=len(ACCENTS))
def look(accent: str) -> dict[str, Any]:
    """What the layout shows of a kind's colour."""
    return {
        "badge_style": Markup(with_style(' class="badge"', accent)),  # noqa: S704 - ours
        "kept_css": Markup(style_sheet("email_head.css", accent)),  # noqa: S704 - ours
    }


@lru_cache(maxsize=16)
def style_sheet(name: str, accent: str) -> str:
    colours = {"accent": ACCENTS[accent], "brand": BRAND, "light": LIGHT, "dark": DARK}
    return _SHEETS.from_string((FOLDER / name).read_text()).render(colours)
