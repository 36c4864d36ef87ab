"""Places change hands: one family cancels both places of a small class, and two on the waitlist get them.

One refund is approved, and one child moves to another class.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from demo.journey.family import Family, World
from demo.journey.office import approve_refund, move_child, office_of

VISA = "4242424242424242"
COURSE, SLUG = "Springboard Diving", "springboard-diving"  # it has two places


def play(world: World) -> list[Family]:
    with ThreadPoolExecutor(4) as pool:
        leaves = pool.submit(_takes_both_places, world)
        waits = pool.submit(_new_family, world, "Sato", "Ren")
        in_a_hurry = pool.submit(_with_saved_card, world)
        moves = pool.submit(_is_moved, world)
    families = [leaves.result(), waits.result(), in_a_hurry.result()]
    _places_change_hands(world, *families)
    return [*families, moves.result()]


def _new_family(world: World, name: str, *children: str) -> Family:
    family = Family(name, world)
    family.sign_up()
    for child in children:
        family.add_child(child, age=10)
    return family


def _takes_both_places(world: World) -> Family:
    family = _new_family(world, "Castillo", "Lia", "Max")
    for child in ["Lia", "Max"]:
        family.add_to_cart(SLUG, child)
    family.pay(family.place_order(), VISA, enrolled=[("Lia", COURSE), ("Max", COURSE)])
    family.await_expected()
    return family


def _with_saved_card(world: World) -> Family:
    family = _new_family(world, "Keller", "Juna")
    family.save_card(VISA)
    return family


def _places_change_hands(world: World, leaves: Family, waits: Family, in_a_hurry: Family) -> None:
    """The priority waitlist comes first, although its family joined later. In the end the class is empty
    again, for the next journey."""
    waits.join_waitlist(SLUG, COURSE, "Ren")
    in_a_hurry.join_priority_waitlist(SLUG, COURSE, "Juna")

    freed_at = time.time()
    leaves.cancel("Lia")
    in_a_hurry.note("is first on the waitlist: the saved card is charged", "payment_success", at=freed_at)
    in_a_hurry.note("Juna gets the place", "waitlist_promoted", at=freed_at)
    in_a_hurry.note(f"Juna is enrolled in {COURSE}", "enrollment_confirmation", at=freed_at)
    office = office_of(world)
    leaves.note("staff approve the refund in the admin", "refund_issued")
    approve_refund(office, order=leaves.order_number())
    in_a_hurry.await_expected()

    freed_at = time.time()
    leaves.cancel("Max")
    waits.note("is offered the next place by email", "waitlist_offer", at=freed_at)
    waits.pay(waits.accept_offer(), VISA, enrolled=[("Ren", COURSE)])
    waits.await_expected()

    waits.cancel("Ren")
    in_a_hurry.cancel("Juna")


def _is_moved(world: World) -> Family:
    family = _new_family(world, "Bergman", "Linus")
    family.add_to_cart("street-dance", "Linus")
    page, _ = family.place_order_in_parts()
    family.pay(page, VISA, enrolled=[("Linus", "Street Dance")])
    family.await_expected()
    office, began_at = office_of(world), time.time()
    price = move_child(
        office,
        order=family.order_number(),
        to="Parkour",
        reason="the family asked for it",
        consent="by phone today, with the parent",
    )
    family.note("staff move Linus to Parkour in the admin", "transfer_confirmation", at=began_at)
    family.note(f"the saved card is charged the difference of {price}", "payment_success", at=began_at)
    return family
