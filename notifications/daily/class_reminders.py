"""The daily job that reminds families of classes that start soon."""

import datetime
from datetime import timedelta

from django.conf import settings

from csf.jobs.declared import Plan, daily_job
from csf.jobs.report import Report
from notifications.daily.notify_once import notify_once
from notifications.facts.calendar import place_states
from notifications.facts.due import in_chunks
from notifications.facts.starting import ClassStart, starting, why_not


@daily_job(at="09:00", plan=Plan("Classes that start soon", "to be emailed", about="enrollments.enrollment"))
def send_class_reminders(*, on: datetime.date, dry_run: bool = False) -> Report:
    """Remind once about each place and first day, on the first of the CLASS_REMINDER_DAYS with a job run.

    Never on the day itself or after it. If the first day is moved, there is another reminder.
    """
    report = Report()
    until = on + timedelta(days=settings.CLASS_REMINDER_DAYS)
    for chunk in report.in_time(in_chunks(starting(after=on, until=until))):
        states = place_states(place.pk for place in chunk)
        starts = (ClassStart(place, states[place.pk]) for place in chunk)
        notify_once("class_starts_soon", starts, report, why_not=why_not, dry_run=dry_run)
    return report
