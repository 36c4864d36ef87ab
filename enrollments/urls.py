from django.urls import path

from enrollments import views

urlpatterns = [
    path("account/first-sign-in/<uuid:public_id>/<str:token>/", views.first_sign_in, name="first_sign_in"),
    path("account/start-again/", views.start_again, name="start_again"),
    path("account/children/", views.children, name="children"),
    path("account/children/add/", views.add_child, name="add_child"),
    path("account/children/<uuid:public_id>/", views.edit_child, name="edit_child"),
]
