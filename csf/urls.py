from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from csf.web import health, legal

# The admin's own sign-in has neither the second factor nor the limits.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", include("orders.urls")),
    path("", include("enrollments.urls")),
    path("", include("billing.urls")),
    path("", include("notifications.urls")),
    path("account/", include("allauth.account.urls")),
    path("account/second-step/", include("allauth.mfa.urls")),
    path("terms/", legal.terms, name="terms"),
    path("privacy/", legal.privacy, name="privacy"),
    path("", include("csf.web.site_files")),
    path("healthz", health.healthz, name="healthz"),
    path("admin/", admin.site.urls),
]

handler500 = "csf.web.busy.server_error"
