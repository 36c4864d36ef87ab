from billing.models.charges import ChargeAttempt, ChargeAttemptTransition, ChargeKind, ChargeStatus
from billing.models.inbox import StripeEvent, StripeEventStatus
from billing.models.money import (
    Installment,
    InstallmentStatus,
    InstallmentTransition,
    Payment,
    StripeCustomer,
)

__all__ = [
    "ChargeAttempt",
    "ChargeAttemptTransition",
    "ChargeKind",
    "ChargeStatus",
    "Installment",
    "InstallmentStatus",
    "InstallmentTransition",
    "Payment",
    "StripeCustomer",
    "StripeEvent",
    "StripeEventStatus",
]
