"""Programs and locations, which classes stand on."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from csf import clock
from csf.refusal import NotPossible
from csf.staff.archive import ArchiveAdmin
from enrollments.models import Location, Program


class GroundAdmin(ArchiveAdmin):
    """What classes stand on: in use until the last of them has ended."""

    def archive(self, request: HttpRequest, row: Any) -> None:
        if row.courses.filter(archived_at=None).current(clock.today()).exists():
            raise NotPossible("it has classes that have not ended.")
        super().archive(request, row)


@admin.register(Program)
class ProgramAdmin(GroundAdmin):
    list_display = ["name", "number_of_classes"]
    ordering = ["name"]
    search_fields = ["name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Program]:
        programs: QuerySet[Program] = super().get_queryset(request)
        return programs.annotate(number_of_classes=Count("courses"))

    @admin.display(description="classes", ordering="number_of_classes")
    def number_of_classes(self, program: Any) -> int:
        number: int = program.number_of_classes
        return number


@admin.register(Location)
class LocationAdmin(GroundAdmin):
    list_display = ["name", "address"]
    ordering = ["name"]
    search_fields = ["name", "address"]
