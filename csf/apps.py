from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate, pre_migrate


class CsfConfig(AppConfig):
    name = "csf"
    verbose_name = "Operations"

    def ready(self) -> None:
        from csf.clock import install_now
        from csf.database.append_only import install_triggers
        from csf.database.lock_timeout import limit_lock_waits
        from csf.jobs import queue  # noqa: F401 - registers the system checks, and what begins with a task
        from csf.logs.error_reports import start
        from csf.logs.json_lines import follow_tasks
        from csf.startup import checks  # noqa: F401 - registers the system checks, and what begins with a task

        pre_migrate.connect(install_now, sender=self, dispatch_uid="csf.clock")
        post_migrate.connect(install_triggers, dispatch_uid="csf.database.append_only")
        limit_lock_waits()
        follow_tasks()
        start()


class StaffAdminConfig(AdminConfig):
    default_site = "csf.staff.site.StaffSite"
