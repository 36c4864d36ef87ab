"""The groups of staff: Owner, Office, Finance and Coach. Each app says in its `roles` what they may do there.

`manage.py prepare` and `create_owner` write them, so changes made by hand in these groups are lost at the
next deploy. For other permissions create a group with another name.
"""

from collections import defaultdict
from collections.abc import Mapping
from enum import StrEnum

from django.contrib.auth.models import Group, Permission
from django.db import transaction


class Role(StrEnum):
    OWNER = "Owner"
    OFFICE = "Office"
    FINANCE = "Finance"
    COACH = "Coach"


MEANINGS = {
    Role.OWNER: "everything, including adding staff",
    Role.OFFICE: (
        "managing families, classes and registrations; cancelling, moving, giving credit, requesting "
        "refunds, recording cash; reading and sending emails"
    ),
    Role.FINANCE: "seeing everything; charging, waiving, approving refunds, managing plans and promo codes",
    Role.COACH: "seeing classes, their places and dates: no children, no money",
}
_rights: dict[Role, set[str]] = defaultdict(set)
_apps: set[str] = set()


def allow(app: str, rights: Mapping[Role, str]) -> None:
    """Let each role do these things of an app: words like "view_course", separated by spaces; "view_*" stands
    for all models of the app. The owner may do everything."""
    _apps.add(app)
    for role, words in rights.items():
        _rights[role] |= {f"{app}.{word}" for word in words.split()}


def with_meaning(group: str) -> str:
    """The name of a group, with a description of what it may do if it is one of the four."""
    return f"{group}: {MEANINGS[Role(group)]}" if group in set(Role) else group


@transaction.atomic
def make_roles() -> None:
    """Write the four groups as the table says. A repeat changes nothing."""
    known = {
        f"{row.content_type.app_label}.{row.codename}": row
        for row in Permission.objects.filter(content_type__app_label__in=_apps).select_related("content_type")
    }
    for role in Role:
        group, _ = Group.objects.get_or_create(name=role.value)
        group.permissions.set(known.values() if role == Role.OWNER else _named(role, known))


def _named(role: Role, known: Mapping[str, Permission]) -> list[Permission]:
    """Raises KeyError for a permission that does not exist."""
    wanted = set()
    for right in _rights[role]:
        if right.endswith("*"):
            wanted |= {name for name in known if name.startswith(right.removesuffix("*"))}
        else:
            wanted.add(right)
    return [known[name] for name in sorted(wanted)]


# The tables of these packages are shown to the owner; their admins change next to nothing.
allow("django_q", {})
allow("djstripe", {})
allow(
    "csf",
    {
        Role.OFFICE: "view_stafftask change_stafftask view_jobrun",
        Role.FINANCE: "view_stafftask change_stafftask view_jobrun",
    },
)
