"""The facts of a snapshot, ready for a template: on one line each, with what is worded in Python."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils.translation import gettext, gettext_lazy

from csf.templatetags.csf_format import day, time_of_day
from csf.web.maps import map_url

NBSP = "\u00a0"
TO = f"{NBSP}\N{EN DASH} "
# Stands for the spaces of a name until all is put together: no line is broken there.
GLUE = "\ue000"
TEXT_WIDTH = 72
MEETS = ("weekday", "start_time", "end_time", "first_on", "last_on")
BRANDS = {
    "amex": "American Express",
    "diners": "Diners Club",
    "jcb": "JCB",
    "unionpay": "UnionPay",
    "unknown": gettext_lazy("Card"),
}
# As snapshots have them: on one such day, and each week.
WEEKDAYS = {
    "Monday": (gettext_lazy("Monday"), gettext_lazy("Mondays")),
    "Tuesday": (gettext_lazy("Tuesday"), gettext_lazy("Tuesdays")),
    "Wednesday": (gettext_lazy("Wednesday"), gettext_lazy("Wednesdays")),
    "Thursday": (gettext_lazy("Thursday"), gettext_lazy("Thursdays")),
    "Friday": (gettext_lazy("Friday"), gettext_lazy("Fridays")),
    "Saturday": (gettext_lazy("Saturday"), gettext_lazy("Saturdays")),
    "Sunday": (gettext_lazy("Sunday"), gettext_lazy("Sundays")),
}
# Marks that turn the direction of the text after them, and control characters; a name needs neither.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]")


def ready(value: Any) -> Any:
    """Every string on one line, so that no name can add lines of its own to a mail."""
    match value:
        case str():
            line = value if value.isprintable() else " ".join(_INVISIBLE.sub("", value).split())
            return line.replace(" ", GLUE) if len(line) <= TEXT_WIDTH else line
        case list():
            return [ready(part) for part in value]
        case dict():
            facts = {key: ready(part) for key, part in value.items()}
            return facts | _class_words(facts) | _card_words(facts)
    return value


def _class_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """When and where a class meets."""
    if "weekday" not in facts:
        return {}
    times, days = _times_and_days(settings.LANGUAGE_CODE, *(facts[key] for key in MEETS))
    name, address = (str(facts[key]).replace(GLUE, " ") for key in ("location", "address"))
    return {"times": times, "days": days, "map_url": map_url(name, address)}


@lru_cache(maxsize=1024)
def _times_and_days(
    language: str, weekday: str, start_time: str, end_time: str, first_on: str, last_on: str
) -> tuple[str, str]:
    first, last = (day(date).replace(" ", NBSP) for date in (first_on, last_on))
    hours = f"{time_of_day(start_time)}{TO}{time_of_day(end_time)}"
    once, weekly = WEEKDAYS[weekday]
    if first == last:
        return f"{once}, {hours}", first
    return f"{weekly}, {hours}", f"{first}{TO}{last}"


def _card_words(facts: Mapping[str, Any]) -> dict[str, str]:
    """How it was or will be paid: "Visa ending in 4242"."""
    if "card_brand" not in facts:
        return {}
    brand, last4 = facts["card_brand"], facts["card_last4"]
    name = BRANDS.get(brand, brand.title()) if brand else gettext("Card")
    if last4:
        return {"method": gettext("%(brand)s ending in %(last4)s") % {"brand": name, "last4": last4}}
    return {"method": str(name) if brand else ""}
