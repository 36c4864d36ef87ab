from billing.models.books import BookDifference, ComparedDay, KnownIntent
from billing.models.cards import Card, CardAgreement, CardUpdate
from billing.models.changes import (
    Cancellation,
    CancellationStatus,
    CancellationTransition,
    Closure,
    ClosureLine,
    ClosureLineStatus,
    ClosureLineTransition,
    ClosureStatus,
    Terms,
    Transfer,
    WaitlistConsent,
)
from billing.models.charges import ChargeAttempt, ChargeAttemptTransition, ChargeKind, ChargeStatus
from billing.models.credits import Credit, CreditCause
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
from billing.models.plans import Consent, PaymentPlan, PlanInterval
from billing.models.refunds import Dispute, Refund, RefundCause, RefundMethod, RefundStatus, RefundTransition

__all__ = [
    "BookDifference",
    "Cancellation",
    "CancellationStatus",
    "CancellationTransition",
    "Card",
    "CardAgreement",
    "CardUpdate",
    "ChargeAttempt",
    "ChargeAttemptTransition",
    "ChargeKind",
    "ChargeStatus",
    "Closure",
    "ClosureLine",
    "ClosureLineStatus",
    "ClosureLineTransition",
    "ClosureStatus",
    "ComparedDay",
    "Consent",
    "Credit",
    "CreditCause",
    "Dispute",
    "Installment",
    "InstallmentNote",
    "InstallmentStatus",
    "InstallmentTransition",
    "KnownIntent",
    "Payment",
    "PaymentMethod",
    "PaymentPlan",
    "PlanInterval",
    "Refund",
    "RefundCause",
    "RefundMethod",
    "RefundStatus",
    "RefundTransition",
    "StripeCustomer",
    "StripeEvent",
    "StripeEventStatus",
    "Terms",
    "Transfer",
    "WaitlistConsent",
]
