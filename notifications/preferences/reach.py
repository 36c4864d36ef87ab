"""Whom no email reaches: families without an active guardian, and those with suppressed addresses."""

from collections import defaultdict
from collections.abc import Collection

from enrollments.families.who_is_notified import register_unreached
from notifications.facts.readers import readers
from notifications.models import Suppression

NO_GUARDIAN = "the family has no guardian with an account. Add one, or call."


@register_unreached
def unreached(household_ids: Collection[int]) -> dict[int, str]:
    addresses: defaultdict[int, list[str]] = defaultdict(list)
    people = readers().filter(household__in=household_ids).values_list("household", "email")
    for household_id, address in people:
        addresses[household_id].append(address)
    everyone = [address for own in addresses.values() for address in own]
    stopped = Suppression.objects.in_force().at(everyone).filter(scope=Suppression.Scope.ALL)
    why = {row.address: row.get_cause_display() for row in stopped}
    found = {pk: NO_GUARDIAN for pk in household_ids if pk not in addresses}
    for pk, own in addresses.items():
        if all(address.lower() in why for address in own):
            words = ", ".join(f"{address} gets no emails ({why[address.lower()]})" for address in own)
            found[pk] = f"{words}. Correct the address, or call."
    return found
