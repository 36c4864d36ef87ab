from django.urls import path

from notifications import views, webhooks

# Never include anymail.urls: it opens every other provider's views, and an inbound one that checks no
# signature.
urlpatterns = [
    path("readyz", views.readyz, name="readyz"),
    path("anymail/sendgrid/tracking/", webhooks.SendGridEvents.as_view(), name="sendgrid_events"),
]
