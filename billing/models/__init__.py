from billing.models.books import BookDifference, ComparedDay, KnownIntent
from billing.models.cancellations import Cancellation, CancellationStatus, CancellationTransition, Terms
from billing.models.cards import Card, CardAgreement, CardStop, CardStopReason, CardUpdate
from billing.models.charges import ChargeAttempt, ChargeAttemptTransition, ChargeKind, ChargeStatus
from billing.models.closures import (
    Closure,
    ClosureLine,
    ClosureLineStatus,
    ClosureLineTransition,
    ClosureStatus,
)
from billing.models.consents import Consent, WaitlistConsent
from billing.models.credits import Credit, CreditCause
from billing.models.customers import StripeCustomer
from billing.models.disputes import Dispute
from billing.models.inbox import StripeEvent, StripeEventStatus
from billing.models.installments import Installment, InstallmentNote, InstallmentStatus, InstallmentTransition
from billing.models.payments import Payment, PaymentMethod
from billing.models.plans import PaymentPlan, PlanInterval
from billing.models.refunds import Refund, RefundCause, RefundMethod, RefundStatus, RefundTransition
from billing.models.transfers import Transfer

__all__ = [
    "BookDifference",
    "Cancellation",
    "CancellationStatus",
    "CancellationTransition",
    "Card",
    "CardAgreement",
    "CardStop",
    "CardStopReason",
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
