from billing.models.charges import ChargeAttempt, ChargeAttemptTransition, ChargeKind, ChargeStatus
from billing.models.inbox import StripeEvent, StripeEventStatus
from billing.models.money import (
    Installment,
    InstallmentStatus,
    InstallmentTransition,
    Payment,
    StripeCustomer,
)
from billing.models.plans import Card, Consent, PaymentPlan, PlanInterval

__all__ = [
    "Card",
    "ChargeAttempt",
    "ChargeAttemptTransition",
    "ChargeKind",
    "ChargeStatus",
    "Consent",
    "Installment",
    "InstallmentStatus",
    "InstallmentTransition",
    "Payment",
    "PaymentPlan",
    "PlanInterval",
    "StripeCustomer",
    "StripeEvent",
    "StripeEventStatus",
]
