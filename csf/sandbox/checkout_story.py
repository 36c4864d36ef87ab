"""Three families at the checkout: one pays, one is declined and pays, one gives up."""

from csf.sandbox.family import Family, World

VISA, NO_MONEY = "4242424242424242", "4000000000009995"
PROMO_CODE = "WELCOME10"


def tell(world: World) -> list[Family]:
    return [pays(world), is_declined_and_pays(world), gives_up(world)]


def pays(world: World) -> Family:
    family = Family("Rivera", world)
    family.sign_up()
    family.add_child("Nora", age=8)
    family.add_child("Theo", age=5)
    family.add_to_cart("football-foundations", "Nora")
    family.add_to_cart("mini-kickers", "Theo")
    family.browser.submit("/cart/", {"code": PROMO_CODE})
    page = family.place_order()
    family.pay(page, VISA, enrolled=[("Nora", "Football Foundations"), ("Theo", "Mini Kickers")])
    return family


def is_declined_and_pays(world: World) -> Family:
    family = Family("Okonkwo", world)
    family.sign_up()
    family.add_child("Ada", age=8)
    family.add_to_cart("street-dance", "Ada")
    page = family.place_order()
    family.browser.send(page, {"card": NO_MONEY})
    family.pay(page, VISA, enrolled=[("Ada", "Street Dance")])
    family.quiet.append("payment_failed")
    return family


def gives_up(world: World) -> Family:
    family = Family("Lindqvist", world)
    family.sign_up()
    family.add_child("Elsa", age=8)
    family.add_to_cart("dolphin-swim", "Elsa")
    page = family.place_order()
    family.note("the card is declined, and they give up", "payment_failed")
    family.browser.send(page, {"card": NO_MONEY})
    return family
