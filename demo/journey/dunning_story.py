"""Four families pay in two parts, and the second part falls due: one card pays, one lacks the money, one
needs the parent's confirmation, and one was reported lost.

Time passes through the dates given to the daily jobs.
"""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

from demo.journey.family import Family, World, short
from demo.journey.office import office_of
from demo.standins.bank import charges_of, script_card

VISA, ASKS_THE_PARENT, ANOTHER = "4242424242424242", "4000002760003184", "4000000000007726"


class ClockIsPast(Exception):
    """An earlier journey on this database has already passed the day that would come next."""


def play(world: World) -> list[Family]:
    """Ends early if an earlier journey has already passed these days."""
    # family, card, child, class and its slug
    buyers = [
        ("Haddad", VISA, "Omar", "Junior Swim Team", "junior-swim-team"),
        ("Novak", VISA, "Iva", "Girls' Football", "girls-football"),
        ("Tanaka", ASKS_THE_PARENT, "Yuki", "Musical Theatre", "musical-theatre"),
        ("Mensah", VISA, "Kofi", "Intermediate Gymnastics", "intermediate-gymnastics"),
    ]
    with ThreadPoolExecutor(len(buyers)) as pool:
        bought = list(pool.map(lambda buyer: _buy_in_parts(world, *buyer), buyers))
    families = [family for family, due_on in bought]
    print("\n  The second part falls due")
    try:
        _second_part(world, *families, due_on=bought[0][1])
    except ClockIsPast:
        print("    These days have passed already; bin/demo --fresh plays this story from the start.")
    return families


def _buy_in_parts(
    world: World, name: str, card: str, child: str, course: str, slug: str
) -> tuple[Family, date]:
    family = Family(name, world)
    family.sign_up()
    family.add_child(child, age=10)
    family.add_to_cart(slug, child)
    page, due_on = family.place_order_in_parts()
    family.pay(page, card, enrolled=[(child, course)])
    family.await_expected()
    return family, due_on


def _second_part(
    world: World, pays: Family, short_of_money: Family, asked: Family, lost: Family, *, due_on: date
) -> None:
    script_card(world.stripe, short_of_money.email, ["insufficient_funds", "expired_card"])
    script_card(world.stripe, lost.email, ["lost_card"])
    families = [pays, short_of_money, asked, lost]

    on, at = _run_job(world, "send_installment_reminders", due_on, days=(-3, -1))
    for family in families:
        family.note(f"{short(on)}: is reminded of {short(due_on)}", "installment_reminder", at=at)
    _await_expected(families)

    on, at = _run_job(world, "charge_due_installments", due_on, days=(0, 2))
    pays.note(f"{short(on)}: the card is charged", "payment_success", at=at)
    short_of_money.note(f"{short(on)}: the card lacks the money", "payment_failed", at=at)
    asked.note(f"{short(on)}: the bank asks the parent to confirm", "authentication_needed", at=at)
    lost.note(f"{short(on)}: the card was reported lost", "payment_failed", at=at)
    _await_expected(families)
    _confirm_by_link(asked)
    _staff_find_task(lost)
    asked.await_expected()

    on, at = _run_job(world, "retry_failed_payments", due_on, days=(3, 9))
    short_of_money.note(f"{short(on)}: tried again, but the card has expired", "payment_failed", at=at)
    short_of_money.await_expected()
    short_of_money.save_card(ANOTHER)
    on, at = _run_job(world, "process_overdue_installments", due_on, days=((on - due_on).days, 10))
    lost.note(f"{short(on)}: still nothing is paid", "overdue_notice", at=at)

    on, at = _run_job(world, "retry_failed_payments", due_on, days=((on - due_on).days + 1, 20))
    short_of_money.note(f"{short(on)}: the new card is charged", "payment_success", at=at)
    short_of_money.await_expected()
    declines = [row for row in charges_of(world.stripe, lost.email) if not row["succeeded"]]
    assert len(declines) == 1, f"the lost card was charged {len(declines)} times"
    lost.note(f"{short(on)}: the lost card was not tried again")


def _run_job(world: World, job: str, due_on: date, *, days: tuple[int, int]) -> tuple[date, float]:
    """Run it for the first of these days, counted from the due date, that it has not run for. Returns the day
    and when we began. A job runs once for each day, also across journeys on one database."""
    first, last = days
    for number in range(first, last + 1):
        on, began_at = due_on + timedelta(days=number), time.time()
        answer = world.manage(job, "--date", on.isoformat()).strip()
        if not answer.endswith("nothing to do"):
            print(f"    manage.py {job} --date {on}{answer.partition(str(on))[2]}", flush=True)
            return on, began_at
    raise ClockIsPast


def _await_expected(families: list[Family]) -> None:
    for family in families:
        family.await_expected()


def _confirm_by_link(family: Family) -> None:
    link = re.search(r"/pay/\S+/", family.await_email("authentication_needed")["text"])
    assert link, "the email has no link to confirm by"
    family.note("opens the link, without signing in, and confirms", "payment_success")
    family.pay_by_link(link[0], ASKS_THE_PARENT)


def _staff_find_task(family: Family) -> None:
    number, office = family.order_number(), office_of(family.world)
    tasks = office.get("/admin/csf/stafftask/?state=open&kind__exact=card_refused")
    about = dict.fromkeys(re.findall(r"/admin/billing/installment/\d+/change/", tasks))
    assert any(number in office.get(page) for page in about), "staff find no task about the lost card"
    family.note("staff see a task about it in the admin")
