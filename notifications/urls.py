from django.urls import path

from notifications import views, webhooks
from notifications.preferences import invitation_pages, pages

# Never include anymail.urls: it opens every other provider's views, and an inbound one that checks no
# signature.
urlpatterns = [
    path("account/emails/", pages.account_emails, name="account_emails"),
    path("account/emails/<uuid:public_id>/", pages.account_email_text, name="account_email_text"),
    path("account/emails/invite/", invitation_pages.invite, name="invite_guardian"),
    path(
        "account/emails/invitations/<uuid:public_id>/withdraw/",
        invitation_pages.withdraw_invitation,
        name="withdraw_invitation",
    ),
    path("account/emails/copies/<uuid:public_id>/stop/", invitation_pages.stop_copies, name="stop_copies"),
    path("account/enrollments/<uuid:public_id>/class.ics", views.class_calendar, name="class_calendar"),
    path("emails/<str:token>/", pages.preferences, name="preferences"),
    path("unsubscribe/<str:token>/", pages.unsubscribe, name="unsubscribe"),
    path("invitation/<str:token>/", invitation_pages.invitation, name="invitation"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("anymail/sendgrid/tracking/", webhooks.SendGridEvents.as_view(), name="sendgrid_events"),
]
