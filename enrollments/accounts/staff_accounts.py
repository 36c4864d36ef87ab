"""Only the owner may change accounts with permissions, on every page.

Anyone with `manage_staff` (or a superuser) can grant permissions, but none above their own and none to
themselves. Everyone else can only change the accounts of families.
"""

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet

from enrollments.models import User

MANAGE = "enrollments.manage_staff"


def is_staff_account(user: User) -> bool:
    """Whether the account can do more than a parent's."""
    has_rights = user.is_staff or user.is_superuser
    return has_rights or user.groups.exists() or user.user_permissions.exists()


def is_to_be_invited(user: User) -> bool:
    """A colleague who has not had a password yet."""
    return is_staff_account(user) and not user.has_usable_password()


def may_change(by: User, user: User) -> bool:
    """Whether `by` may change this account: its address, whether it is active, its family and its rights."""
    if by.is_superuser or not is_staff_account(user):
        return True
    is_above = user.is_superuser or not user.get_all_permissions() <= by.get_all_permissions()
    return by.has_perm(MANAGE) and not is_above


def may_grant_rights(by: User, user: User | None) -> bool:
    """Nobody changes the rights of their own account."""
    return by.has_perm(MANAGE) and (user is None or (by.pk != user.pk and may_change(by, user)))


def grantable_permissions(by: User) -> QuerySet[Permission]:
    """The permissions that `by` has."""
    if by.is_superuser:
        return Permission.objects.all()
    held = by.get_all_permissions()
    rows = Permission.objects.select_related("content_type")
    return rows.filter(pk__in=[row.pk for row in rows if _name(row) in held])


def grantable_groups(by: User) -> QuerySet[Group]:
    """The groups that have no permission beyond those of `by`."""
    if by.is_superuser:
        return Group.objects.all()
    beyond = Permission.objects.exclude(pk__in=grantable_permissions(by))
    return Group.objects.exclude(permissions__in=beyond)


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"
