"""Families who know the pages of the last release. This runs in the folder of that release, with its journey;
test_upgrade.py starts it. Arguments: what they do, and the addresses of site, Stripe and mailbox.
"""

import json
import subprocess
import sys

from demo.journey.family import Family, World
from demo.journey.journey import Journey

VISA = "4242424242424242"
COURSE, SLUG = "Junior Swim Team", "junior-swim-team"


def manage(*arguments):
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def say(what):
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def journey(world):
    """All that families do; exit code 1 if an email is missing, or came twice."""
    sys.exit(not Journey(world).run())


def order(world):
    """Order in two parts, once a line is read, and pay the first; print who it was and when the second is
    due."""
    family = Family("Newman", world)
    family.sign_up()
    family.await_expected()
    family.add_child("Kim", age=10)
    say(family.email)
    input()
    family.add_to_cart(SLUG, "Kim")
    page, due_on = family.place_order_in_parts()
    family.pay(page, VISA, enrolled=[("Kim", COURSE)])
    say(due_on.isoformat())


if __name__ == "__main__":
    act, *addresses = sys.argv[1:]
    {"journey": journey, "order": order}[act](World(*addresses, manage=manage))
