"""Cards that pay for what nobody agreed to, or for another family."""

from django.utils import timezone

from billing.models import CardAgreement, WaitlistConsent
from csf.clock import Now
from tests.factories import create_order
from tests.planted.school import change, drop, family, guardian, order_of, places


def waitlist_consent(name, **columns):
    values = {"text": "I agree", "text_version": "1", "given_at": timezone.now(), "at_most_cents": 14400}
    place = places(name)[0]
    return WaitlistConsent.objects.create(enrollment=place, given_by=guardian(name), **values | columns)


def agreement():
    return CardAgreement.objects.get(order=order_of("Paid"))


def card_not_agreed_for_its_order():
    change(agreement(), order=create_order(household=family("Paid")))


def card_of_another_family():
    row = agreement()
    change(row.card, household=family("First"))
    change(row, agreed_by=guardian("First"))


def agreed_for_an_order_of_another_family():
    row = agreement()
    order = order_of("Unpaid")
    CardAgreement.objects.create(order=order, card=row.card, agreed_by=row.agreed_by, agreed_at=Now())


def agreed_for_a_place_of_another_family():
    row = agreement()
    consent = waitlist_consent("Unpaid")
    CardAgreement.objects.create(
        waitlist_consent=consent, card=row.card, agreed_by=row.agreed_by, agreed_at=Now()
    )


def agreed_by_another_family():
    change(agreement(), agreed_by=guardian("Unpaid"))


def two_cards_for_an_order():
    drop(CardAgreement, "(order_id)")
    row = agreement()
    CardAgreement.objects.create(order=row.order, card=row.card, agreed_by=row.agreed_by, agreed_at=Now())


def two_cards_for_a_place():
    drop(CardAgreement, "(waitlist_consent_id)")
    row, consent = agreement(), waitlist_consent("Paid")
    for _ in range(2):
        CardAgreement.objects.create(
            waitlist_consent=consent, card=row.card, agreed_by=row.agreed_by, agreed_at=Now()
        )


def replaced_card_that_pays():
    change(agreement().card, replaced_at=Now())


PLANTS = {
    "M11 charges of a card that was not agreed for their order": [card_not_agreed_for_its_order],
    "M11 cards that pay for another family": [
        card_of_another_family,
        agreed_for_an_order_of_another_family,
        agreed_for_a_place_of_another_family,
    ],
    "M11 cards agreed to by a member of another family": [agreed_by_another_family],
    "M11 orders and places with two current cards": [two_cards_for_an_order, two_cards_for_a_place],
    "M11 cards that were replaced and still pay": [replaced_card_that_pays],
}
