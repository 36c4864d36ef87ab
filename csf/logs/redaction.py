"""What a log may contain: what happened and where, never to whom."""

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

# Stripe's ids are not secret, and operators search for them.
STRIPE_ID = r"(?:acct|ch|cs|cus|dp|du|evt|ii|in|pi|pm|price|prod|py|pyr|re|req|seti|src|txn|we)_\w+"
_IS_STRIPE_ID = re.compile(STRIPE_ID)
_TOKEN_CHARACTERS = 16
LONGEST = 2000  # of a line from a library, so that none takes long to search
_WORD = re.compile(rf"[\w.:-]{{{_TOKEN_CHARACTERS},}}")
_CUTS = [
    (
        re.compile(r"(\w{1,20}://)(?:[^\s/@'\"]+@)?([^\s/?#'\"]+)[^\s'\"]*"),
        r"\1\2",
    ),  # an address keeps its host
    (re.compile(r"[^\s@'\"<>(){}\[\],;:=]{1,100}@[^\s@'\"<>(){}\[\],;=]+"), "[email]"),
]
# In messages of libraries a value is in quotes or brackets, or is a path or a network address.
OUR_APPS = sorted(file.parent.name for file in Path(__file__).resolve().parents[2].glob("*/apps.py"))
_OUR_TASK = rf"(?:{'|'.join(OUR_APPS)})\.[\w.]+"
_NO_VALUE = rf"(?!(?:{STRIPE_ID}|{_OUR_TASK})')"
_CUTS_OF_OTHERS = [
    (re.compile(rf"'{_NO_VALUE}(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|“[^”]*”"), "[value]"),
    (re.compile(r"\([^()]*\)=\([^()]*\)"), "[value]"),
    (re.compile(r"[{\[(](?!value|email|token)[^{}\[\]]*[}\])]"), "[values]"),
    (re.compile(r"(?<![\w:/.])/[^\s]+"), "[path]"),
    (re.compile(r"\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b"), "[address]"),
]
# Errors that speak to a family or to staff, and so may name a child.
_FOR_PEOPLE = {"ValidationError", "NotPossible", "NotEnoughCredit", "OrderRefused"}
_ABOUT_VALUES = (ValueError, LookupError, AssertionError, UnicodeError)
_ABOUT_CODE = (AttributeError, TypeError, NameError, ImportError)
_TRACEBACK = "Traceback (most recent call last):"
# What PostgreSQL adds to an error: whole rows, and the statement with its values.
_ROWS = re.compile(r"^(?:DETAIL|CONTEXT|QUERY|STATEMENT|HINT|LINE \d+): .*|^\s*\^\s*$")


def redact_ours(text: str) -> str:
    """A message of ours names rows by id; values that it quotes from elsewhere are cut."""
    for pattern, instead in _CUTS:
        text = pattern.sub(instead, text)
    return _WORD.sub(lambda word: "[token]" if _is_token(word[0]) else word[0], text)


def _is_token(word: str) -> bool:
    """Letters and digits in one long piece: a key or a signature, but no host's name or row's public id."""
    return not _IS_STRIPE_ID.match(word) and any(
        len(piece) >= _TOKEN_CHARACTERS and re.search(r"\d", piece) and re.search(r"[^\W\d_]", piece)
        for piece in re.split(r"[.:-]", word)
    )


def redact_foreign(text: str) -> str:
    """A message of a library may contain anything. Of a traceback in it, only the places in code and the
    class of the error are kept."""
    head, found, trace = text.partition(_TRACEBACK)
    if not found:
        return "\n".join(_cut(line) for line in text.splitlines() if not _ROWS.match(line))
    return "\n".join([_cut(head.split(" - ")[0].split("\n")[0]), _TRACEBACK, *_places(trace)])


def _cut(line: str) -> str:
    line = redact_ours(line[:LONGEST])
    for pattern, instead in _CUTS_OF_OTHERS:
        line = pattern.sub(instead, line)
    return line


def _places(trace: str) -> Iterator[str]:
    is_code = False
    for line in trace.splitlines():
        if (is_code and line.startswith("    ")) or (is_code := line.startswith('  File "')):
            yield line
        elif error := re.match(r"[\w.]*(?:Error|Exception|Warning|Exit|[a-z]\.[A-Z]\w*)(?=:|$)", line):
            yield error[0]


def error_text(error: BaseException) -> str:
    """Class and message in one line. For a database error, only the parts that name no row."""
    kind = type(error).__qualname__
    diagnosis = getattr(error, "diag", None) or getattr(error.__cause__, "diag", None)
    if diagnosis is not None and diagnosis.sqlstate:
        where = (diagnosis.table_name, diagnosis.column_name, diagnosis.constraint_name)
        return " ".join([f"{kind}: {diagnosis.sqlstate}", *filter(None, where)])
    if kind in _FOR_PEOPLE or isinstance(error, _ABOUT_VALUES):
        return kind
    cut = redact_ours if isinstance(error, _ABOUT_CODE) else redact_foreign
    said = cut(str(error)).partition("\n")[0]
    return f"{kind}: {said}" if said else kind


def traceback_text(error: BaseException) -> str:
    """The whole chain: places in code, and each error in one line."""
    return "\nwhich led to\n".join(
        "".join(traceback.format_tb(one.__traceback__)) + error_text(one) for one in chain(error)
    )


def chain(error: BaseException) -> list[BaseException]:
    """The error behind those that led to it, the first one first."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in found:
        found.insert(0, one)
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return found
