from django.urls import path

from notifications import views

urlpatterns = [path("readyz", views.readyz, name="readyz")]
