from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.db.models.signals import post_migrate


class CsfConfig(AppConfig):
    name = "csf"
    verbose_name = "Operations"

    def ready(self) -> None:
        from csf import checks, jobs  # noqa: F401 - registers the system checks, and what begins with a task
        from csf.append_only import install_triggers
        from csf.error_reports import start
        from csf.logs import follow_tasks
        from csf.pooled import limit_lock_waits

        post_migrate.connect(install_triggers, dispatch_uid="csf.append_only")
        limit_lock_waits()
        follow_tasks()
        start()


class StaffAdminConfig(AdminConfig):
    default_site = "csf.staff.StaffSite"
