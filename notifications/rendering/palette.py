"""The colours of the emails: the school's own, as on its pages, and that of the kind on its badge.

`bright` is for dark surfaces only: white text on it is hard to read, so buttons and labels use `shade` and
`tint`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accent:
    bright: str
    shade: str
    tint: str


@dataclass(frozen=True)
class Surface:
    page: str
    card: str
    line: str
    text: str
    muted: str
    link: str


BRAND = Accent(bright="#7FD4CC", shade="#0B6464", tint="#E2F1EF")
ACCENTS = {
    "green": Accent(bright="#4CAF50", shade="#2E7D32", tint="#E8F5E9"),
    "blue": Accent(bright="#2196F3", shade="#1565C0", tint="#E3F2FD"),
    "orange": Accent(bright="#FF9800", shade="#B34700", tint="#FFF3E0"),
    "red": Accent(bright="#F44336", shade="#C62828", tint="#FFEBEE"),
    "grey": Accent(bright="#9E9E9E", shade="#616161", tint="#F5F5F5"),
}

# Never pure black or white: clients that invert colours by themselves turn those into glaring ones.
LIGHT = Surface(
    page="#F3F4F6",
    card="#FEFEFE",
    line="#E1E4E8",
    text="#212121",
    muted="#595959",
    link="#0B57D0",
)
DARK = Surface(
    page="#121314",
    card="#1E1E1E",
    line="#3C4043",
    text="#F1F3F4",
    muted="#BDC1C6",
    link="#8AB4F8",
)
