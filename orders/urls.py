from django.urls import path

from orders import views
from orders.catalog import sharing

urlpatterns = [
    path("", views.catalog, name="catalog"),
    path("sitemap.xml", sharing.sitemap),
    path("classes/<slug:slug>/", views.course, name="course"),
    path("cart/<uuid:public_id>/remove/", views.remove_line, name="remove_line"),
]
