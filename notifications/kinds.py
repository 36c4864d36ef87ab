"""The kinds of email. `notifications.registry` says for each what it tells, to whom, and until when."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class EmailKind(models.TextChoices):
    ORDER_CONFIRMATION = "order_confirmation", _("Order confirmation")
    PAYMENT_SUCCESS = "payment_success", _("Payment received")
    PAYMENT_FAILED = "payment_failed", _("Payment failed")
    CARD_NEEDED = "card_needed", _("Another card needed")
    AUTHENTICATION_NEEDED = "authentication_needed", _("Payment to be confirmed")
    INSTALLMENT_REMINDER = "installment_reminder", _("Payment reminder")
    OVERDUE_NOTICE = "overdue_notice", _("Payment overdue")
    CARD_EXPIRING = "card_expiring", _("Card expires before a payment")
    ENROLLMENT_CONFIRMATION = "enrollment_confirmation", _("Enrollment confirmation")
    CANCELLATION_CONFIRMATION = "cancellation_confirmation", _("Cancellation confirmation")
    CLASS_STARTS_SOON = "class_starts_soon", _("Class starts soon")
    CLASS_MOVED = "class_moved", _("Class at another time or place")
    SESSION_CANCELLED = "session_cancelled", _("Session cancelled")
    REFUND_ISSUED = "refund_issued", _("Refund issued")
    REFUND_REJECTED = "refund_rejected", _("Refund not approved")
    CREDIT_ADDED = "credit_added", _("Credit given")
    TRANSFER_CONFIRMATION = "transfer_confirmation", _("Moved to another class")
    WAITLIST_JOINED = "waitlist_joined", _("Joined the waitlist")
    WAITLIST_OFFER = "waitlist_offer", _("A seat from the waitlist")
    WAITLIST_LAPSED = "waitlist_lapsed", _("A seat or a place on the waitlist is gone")
    WAITLIST_PROMOTED = "waitlist_promoted", _("Enrolled from the waitlist")
    WAITLIST_CHARGE_FAILED = "waitlist_charge_failed", _("Seat from the waitlist not paid")
    CLASS_MESSAGE = "class_message", _("Message from the office")
    NEWSLETTER = "newsletter", _("Newsletter")
    GUARDIAN_INVITATION = "guardian_invitation", _("Invitation to a family")
    STAFF_ALERT = "staff_alert", _("Alert to staff")
    WELCOME = "welcome", _("Welcome")
    ACCOUNT_CONFIRM_EMAIL = "account_confirm_email", _("Confirm an email address")
    ACCOUNT_LOGIN_CODE = "account_login_code", _("Sign-in code")
    ACCOUNT_PASSWORD_RESET = "account_password_reset", _("Password reset")
    ACCOUNT_NOTICE = "account_notice", _("News of an account")
