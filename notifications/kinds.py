"""The kinds of email. `notifications.registry` says for each what it tells, to whom, and until when."""

from django.db import models


class EmailKind(models.TextChoices):
    ORDER_CONFIRMATION = "order_confirmation", "Order confirmation"
    PAYMENT_SUCCESS = "payment_success", "Payment received"
    PAYMENT_FAILED = "payment_failed", "Payment failed"
    AUTHENTICATION_NEEDED = "authentication_needed", "Payment to be confirmed"
    INSTALLMENT_REMINDER = "installment_reminder", "Payment reminder"
    OVERDUE_NOTICE = "overdue_notice", "Payment overdue"
    CARD_EXPIRING = "card_expiring", "Card expires before a payment"
    ENROLLMENT_CONFIRMATION = "enrollment_confirmation", "Enrollment confirmation"
    CANCELLATION_CONFIRMATION = "cancellation_confirmation", "Cancellation confirmation"
    WELCOME = "welcome", "Welcome"
    ACCOUNT_CONFIRM_EMAIL = "account_confirm_email", "Confirm an email address"
    ACCOUNT_LOGIN_CODE = "account_login_code", "Sign-in code"
    ACCOUNT_PASSWORD_RESET = "account_password_reset", "Password reset"
    ACCOUNT_NOTICE = "account_notice", "News of an account"
