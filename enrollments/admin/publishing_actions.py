"""Publishing a class, with a list of what it has and lacks, and hiding it again."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from django.shortcuts import get_object_or_404
from django.utils.html import format_html
from django.utils.safestring import SafeString

from csf import clock
from csf.staff.actions import Action, Actions
from csf.staff.columns import link
from csf.staff.fingerprint import fingerprint_of
from csf.staff.panels import Panel
from csf.staff.reason_form import ActionForm
from enrollments.admin.edit_log import log_edit
from enrollments.classes.publishing import Check, checklist, publish, unpublish
from enrollments.families.who_is_notified import not_notified
from enrollments.models import Course, User


@dataclass(frozen=True)
class PublishingFacts:
    row: Course

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Course.objects.select_related("location"), pk=pk))

    @cached_property
    def checks(self) -> list[Check]:
        return checklist(self.row, now=clock.now())

    @property
    def is_ready(self) -> bool:
        return all(check.is_met or not check.is_required for check in self.checks)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.is_published, *((check.title, check.finding) for check in self.checks))

    @property
    def words(self) -> dict[str, Any]:
        return {}

    def panel(self) -> Panel:
        found = [(check.title, _finding(check)) for check in self.checks]
        return Panel("", lines=[("Class", link(self.row)), *found])


def _finding(check: Check) -> SafeString:
    if check.is_met:
        return format_html("✓ {}", check.finding)
    return format_html("<b>{}</b> {}", "Missing:" if check.is_required else "Optional:", check.finding)


@dataclass(frozen=True)
class HidingFacts:
    row: Course

    @classmethod
    def of(cls, pk: int) -> Self:
        return cls(get_object_or_404(Course, pk=pk))

    @cached_property
    def waiting(self) -> list[Any]:
        return list(self.row.enrollments.waitlisted().select_related("child__household"))

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self.row.is_published, *(place.pk for place in self.waiting))

    @property
    def words(self) -> dict[str, Any]:
        count = len(self.waiting)
        told = "1 family" if count == 1 else f"{count} families"
        text = f" The {told} on the waitlist will be taken off it and told by email."
        return {"waitlist": text if count else ""}

    def panel(self) -> Panel:
        lines: list[tuple[str, object]] = [("Class", link(self.row))]
        if families := not_notified(place.child.household for place in self.waiting):
            lines.append(("Not notified", "\n".join(families)))
        return Panel("", lines=lines)


def _publish(*, course: Course, by: User) -> None:
    publish(course=course, by=by, now=clock.now())
    log_edit(course, by=by, what="Published.")


def _hide(*, course: Course, by: User) -> None:
    unpublish(course=course, by=by)
    log_edit(course, by=by, what="Hidden from parents.")


PUBLISH_ACTIONS = Actions(
    Course,
    PublishingFacts.of,
    [
        Action(
            name="publish",
            title="Publish",
            permission="enrollments.change_course",
            argument="course",
            act=_publish,
            form=ActionForm,
            is_possible=lambda facts: not facts.row.is_published,
            is_ready=lambda facts: facts.is_ready,
            confirm="Publish",
            meaning=(
                "This class is a draft, so only staff can see it. Once it is published, parents can find it "
                "in the catalog and register while registration is open."
            ),
            done="The class is published.",
        )
    ],
    slug="publishing",
)
HIDE_ACTIONS = Actions(
    Course,
    HidingFacts.of,
    [
        Action(
            name="hide",
            title="Hide from parents",
            permission="enrollments.change_course",
            argument="course",
            act=_hide,
            form=ActionForm,
            is_possible=lambda facts: facts.row.is_published,
            confirm="Hide from parents",
            meaning=(
                "Parents will no longer find this class or register for it. Enrolled children keep their "
                "places.{waitlist}"
            ),
            done="Parents no longer see the class.",
        )
    ],
    slug="hiding",
)
