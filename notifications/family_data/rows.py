"""Which rows are a family's, in every table, by the foreign keys: a new model needs no entry here."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import ForeignKey, Model, Q, QuerySet

from csf.models import StaffTask
from enrollments.models import Household, User

APPS = ("enrollments", "orders", "billing", "notifications", "account", "mfa")
# Rows of a user that are about this person. What other keys to a user name is who did something, often staff.
ABOUT_A_USER = {"user", "recipient"}


@cache
def paths_to_household(model: type[Model]) -> tuple[str, ...]:
    """Every way of foreign keys from a row to its family, as lookups; none for what belongs to the school."""
    return tuple(sorted(_paths(model, seen=frozenset())))


def _paths(model: type[Model], seen: frozenset[type[Model]]) -> Iterator[str]:
    if model is Household:
        yield "pk"
        return
    for field in model._meta.local_fields:
        if not isinstance(field, ForeignKey):
            continue
        target: Any = field.related_model
        if target in seen | {model} or (target is User and field.name not in ABOUT_A_USER):
            continue
        for path in _paths(target, seen | {model}):
            yield field.name if path == "pk" else f"{field.name}__{path}"


def family_models() -> list[type[Model]]:
    return [model for model in _models(APPS) if paths_to_household(model)]


def other_models() -> list[type[Model]]:
    """Of the school and of the operation; texts in them may still name someone."""
    return [model for model in _models((*APPS, "csf", "admin")) if not paths_to_household(model)]


def _models(labels: Iterable[str]) -> list[type[Model]]:
    return [model for label in labels for model in apps.get_app_config(label).get_models()]


def rows_of(model: type[Model], household: Household) -> QuerySet[Any]:
    belongs = Q()
    for path in paths_to_household(model):
        belongs |= Q(**{path: household.pk})
    return model._default_manager.filter(belongs).order_by("pk").distinct()


def emails_of(household: Household) -> list[str]:
    """Each address that the family signs in with or was invited at, or that an email to it went to; but none
    that someone else signs in with by now, whose rows would be taken for the family's."""
    guardians = household.guardians.values_list("email", flat=True)
    invited = household.invitations.values_list("email", flat=True)
    written = User.objects.filter(household=household).values_list("emails__to", flat=True)
    found = {address for address in (*guardians, *invited, *written) if address}
    others = User.objects.exclude(household=household).filter(email__in=found)
    return sorted(found - set(others.values_list("email", flat=True)))


def notes_about(household: Household) -> list[QuerySet[Any]]:
    """Tasks of staff and the office's log, which name a row of the family by its kind and its key."""
    subjects, edits = [], Q()
    for model in family_models():
        keys = [str(key) for key in rows_of(model, household).values_list("pk", flat=True)]
        subjects += [f"{model._meta.label_lower}:{key}" for key in keys]
        edits |= Q(content_type=ContentType.objects.get_for_model(model), object_id__in=keys)
    return [StaffTask.objects.filter(subject__in=subjects), LogEntry.objects.filter(edits)]
