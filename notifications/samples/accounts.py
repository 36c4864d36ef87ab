"""What opens an account, and what is new about one."""

from typing import Any

from notifications.facts.samples import HOSTILE, LONG
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context


def _account(**facts: Any) -> dict[str, Context]:
    """Of the account kinds only the name differs."""
    names = {"minimal": "", "typical": "Maria", "huge": LONG, "hostile": HOSTILE}
    return {sample: facts | {"first_name": name} for sample, name in names.items()}


def _invited(first_name: str, inviter: str, rights: list[str]) -> Context:
    return {"first_name": first_name, "inviter": inviter, "rights": rights, "office_path": "/admin/"}


SAMPLES: dict[str, Samples] = {
    EmailKind.WELCOME: _account(children_path="/account/children/"),
    EmailKind.ACCOUNT_CONFIRM_EMAIL: _account(code="048213", minutes=15),
    EmailKind.ACCOUNT_LOGIN_CODE: _account(code="730915", minutes=10),
    EmailKind.ACCOUNT_PASSWORD_RESET: _account(
        reset_path="/account/password/reset/key/4f-cyq8l1-0b2d7c6f3a/", minutes=60
    ),
    EmailKind.STAFF_INVITATION: {
        sample: facts | {"reset_path": "/account/password/reset/key/4f-cyq8l1-0b2d7c6f3a/", "minutes": 60}
        for sample, facts in {
            "minimal": _invited("", "Ada Boss", []),
            "typical": _invited("Jörg", "Ada Boss", ["Office: families, classes, registrations"]),
            "huge": _invited(LONG, LONG, [LONG] * 20),
            "hostile": _invited(HOSTILE, HOSTILE, [HOSTILE]),
        }.items()
    },
    EmailKind.ACCOUNT_NOTICE: _account(
        event="password_changed", happened_at="2026-08-29T21:07:41+00:00", new_email="", minutes=1440
    ),
}
