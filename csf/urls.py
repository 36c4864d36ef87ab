from django.contrib import admin
from django.urls import include, path

from csf import views

urlpatterns = [
    path("", include("orders.urls")),
    path("", include("billing.urls")),
    path("account/", include("allauth.account.urls")),
    path("healthz", views.healthz, name="healthz"),
    path("admin/", admin.site.urls),
]
