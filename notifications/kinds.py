"""The kinds of email. `notifications.registry` says for each what it tells, to whom, and until when."""

from django.db import models


class EmailKind(models.TextChoices):
    ORDER_CONFIRMATION = "order_confirmation", "Order confirmation"
    PAYMENT_SUCCESS = "payment_success", "Payment received"
    ENROLLMENT_CONFIRMATION = "enrollment_confirmation", "Enrollment confirmation"
