from billing.models.charges import ChargeAttempt, ChargeAttemptTransition, ChargeKind, ChargeStatus
from billing.models.inbox import StripeEvent, StripeEventStatus
from billing.models.money import (
    Installment,
    InstallmentNote,
    InstallmentStatus,
    InstallmentTransition,
    Payment,
    PaymentMethod,
    StripeCustomer,
)
from billing.models.plans import Card, CardUpdate, Consent, PaymentPlan, PlanInterval

__all__ = [
    "Card",
    "CardUpdate",
    "ChargeAttempt",
    "ChargeAttemptTransition",
    "ChargeKind",
    "ChargeStatus",
    "Consent",
    "Installment",
    "InstallmentNote",
    "InstallmentStatus",
    "InstallmentTransition",
    "Payment",
    "PaymentMethod",
    "PaymentPlan",
    "PlanInterval",
    "StripeCustomer",
    "StripeEvent",
    "StripeEventStatus",
]
