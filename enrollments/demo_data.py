"""A believable season for demo, benchmarks and tests: programs, locations, classes and families."""

import datetime
from random import Random
from zoneinfo import ZoneInfo

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils.text import slugify

from enrollments.models import Child, Course, EmergencyContact, Household, Location, Program, User

PROGRAMS = {
    "Swimming": "Small groups in warm water, from first splash to the school team.",
    "Football": "Skills, fair play and a game at the end of every session.",
    "Gymnastics": "Balance, strength and courage on mats, beams and bars.",
    "Dance": "Ballet, hip hop and musical theatre with a show at the end of term.",
    "Art and making": "Paint, clay and code: things to take home and be proud of.",
}
WHAT_TO_BRING = {
    "Swimming": "A swimsuit and a towel\nA swimming cap, if the hair is long",
    "Football": "Shin pads and boots\nA bottle of water",
    "Gymnastics": "Clothes to move in, and bare feet\nA bottle of water",
    "Dance": "Soft shoes or socks\nA bottle of water",
    "Art and making": "An old shirt over the clothes",
}
LOCATIONS = {
    "Harbour Pool": "3 Quay Road, Springfield",
    "Maple Street Gym": "48 Maple Street, Springfield",
    "Riverside Fields": "Riverside Drive, Springfield",
    "The Old Mill Studio": "1 Mill Lane, Springfield",
}
# title, program, location, weekday, start, minutes, ages, price in cents, seats
CLASSES = [
    ("Water Babies", "Swimming", "Harbour Pool", 5, (9, 0), 30, (1, 3), 9600, 8),
    ("Starfish Swim", "Swimming", "Harbour Pool", 5, (9, 45), 45, (4, 6), 14400, 8),
    ("Dolphin Swim", "Swimming", "Harbour Pool", 5, (10, 45), 45, (7, 10), 14400, 10),
    ("Junior Swim Team", "Swimming", "Harbour Pool", 1, (16, 30), 60, (9, 14), 19200, 16),
    ("Springboard Diving", "Swimming", "Harbour Pool", 1, (17, 45), 45, (8, 14), 16800, 2),
    ("Mini Kickers", "Football", "Riverside Fields", 6, (9, 0), 45, (4, 6), 11900, 14),
    ("Football Foundations", "Football", "Riverside Fields", 6, (10, 0), 60, (7, 9), 13900, 16),
    ("Girls' Football", "Football", "Riverside Fields", 2, (16, 0), 60, (7, 12), 13900, 16),
    ("Goalkeeper Clinic", "Football", "Riverside Fields", 3, (17, 15), 60, (9, 14), 15900, 6),
    ("Tumble Tots", "Gymnastics", "Maple Street Gym", 1, (10, 0), 40, (2, 4), 10500, 10),
    ("Beginner Gymnastics", "Gymnastics", "Maple Street Gym", 0, (16, 0), 60, (5, 8), 16500, 12),
    ("Intermediate Gymnastics", "Gymnastics", "Maple Street Gym", 0, (17, 15), 75, (7, 12), 19900, 12),
    ("Parkour", "Gymnastics", "Maple Street Gym", 4, (16, 30), 75, (9, 15), 19900, 12),
    ("First Steps Ballet", "Dance", "The Old Mill Studio", 2, (15, 30), 45, (3, 5), 12500, 10),
    ("Ballet Grade 1", "Dance", "The Old Mill Studio", 2, (16, 30), 60, (6, 9), 15500, 12),
    ("Street Dance", "Dance", "The Old Mill Studio", 3, (16, 0), 60, (7, 11), 14500, 14),
    ("Musical Theatre", "Dance", "The Old Mill Studio", 5, (13, 0), 90, (8, 14), 22500, 18),
    ("Messy Art", "Art and making", "The Old Mill Studio", 5, (10, 0), 60, (4, 7), 13500, 10),
    ("Clay Club", "Art and making", "The Old Mill Studio", 4, (15, 45), 75, (7, 12), 17500, 8),
    ("Junior Coders", "Art and making", "Maple Street Gym", 3, (16, 0), 75, (8, 13), 21000, 10),
    ("Comic Book Workshop", "Art and making", "The Old Mill Studio", 6, (14, 0), 90, (9, 14), 18500, 10),
]
SURNAMES = """
    Alvarez Bennett Chen Dubois Eriksen Fraser Garcia Haddad Ito Jensen Kowalski Larsen Mbeki Novak
    Okafor Patel Quinn Rossi Silva Tanaka Usman Vega Weber Young Zhou
""".split()
FIRST_NAMES = """
    Ada Ben Clara Dev Elif Finn Grace Hugo Isla Jonas Kira Leo Maya Noah Olive Priya Quentin Rosa
    Sam Tess Uma Vito Wren Yara Zoe
""".split()
PARENT_NAMES = """
    Alex Brook Casey Dana Eden Frankie Glenn Harper Indra Jamie Kim Lou Morgan Nic Pat Robin Sasha
    Toni
""".split()
DEMO_PASSWORD = "sparks-demo-2026"  # noqa: S105 - printed by the demo, refused in production


@transaction.atomic
def load_demo_data(*, on: datetime.date, families: int, seed: int) -> None:
    """Write the season that starts three weeks after `on`, and `families` households. A repeat adds nothing.

    The first parent is parent1@example.org; staff sign in as office@example.org. All have DEMO_PASSWORD.
    """
    if User.objects.filter(email="office@example.org").exists():
        return
    programs = {name: Program.objects.create(name=name, description=text) for name, text in PROGRAMS.items()}
    places = {name: Location.objects.create(name=name, address=text) for name, text in LOCATIONS.items()}
    for row in CLASSES:
        _load_course(row, programs, places, first_monday=on + datetime.timedelta(days=21 - on.weekday()))
    office = User.objects.create_superuser(
        "office@example.org", DEMO_PASSWORD, first_name="Olivia", last_name="Office"
    )
    _verify(office)
    random = Random(seed)  # noqa: S311 - a repeatable season, not a secret
    password = make_password(DEMO_PASSWORD)  # once: each hash takes a tenth of a second by design
    for number in range(1, families + 1):
        ages = sorted(random.sample(range(2, 14), k=random.choice([1, 2, 2, 3])))
        _load_family(f"parent{number}@example.org", ages, random, on, password)


def _load_course(
    row: tuple[str, str, str, int, tuple[int, int], int, tuple[int, int], int, int],
    programs: dict[str, Program],
    places: dict[str, Location],
    first_monday: datetime.date,
) -> None:
    title, program, place, weekday, (hour, minute), minutes, (age_min, age_max), price_cents, capacity = row
    start = datetime.datetime.combine(
        first_monday, datetime.time(hour, minute), ZoneInfo(settings.SCHOOL_TIME_ZONE)
    )
    first_on = first_monday + datetime.timedelta(days=weekday)
    course = Course.objects.create(
        program=programs[program],
        location=places[place],
        title=title,
        slug=slugify(title),
        description=f"{programs[program].description} Ten weekly sessions, all equipment included.",
        what_to_bring=WHAT_TO_BRING[program],
        age_min=age_min,
        age_max=age_max,
        weekday=weekday,
        start_time=start.time(),
        end_time=(start + datetime.timedelta(minutes=minutes)).time(),
        starts_on=first_on,
        ends_on=first_on + datetime.timedelta(weeks=10),
        price_cents=price_cents,
        capacity=capacity,
        registration_opens_at=start - datetime.timedelta(days=60),
        registration_closes_at=start + datetime.timedelta(weeks=2),
        is_published=True,
    )
    course.plan_sessions(skipping=[first_on + datetime.timedelta(weeks=5)])  # a week off in the middle


def _load_family(email: str, ages: list[int], random: Random, on: datetime.date, password: str) -> None:
    surname = random.choice(SURNAMES)
    household = Household.objects.create(name=f"{surname} family")
    parent = User.objects.create(
        email=email,
        password=password,
        first_name=random.choice(PARENT_NAMES),
        last_name=surname,
        household=household,
    )
    _verify(parent)
    for name, age in zip(random.sample(FIRST_NAMES, k=len(ages)), ages, strict=True):
        born_on = on - datetime.timedelta(days=365 * age + random.randrange(120, 300))
        child = Child.objects.create(household=household, first_name=name, last_name=surname, born_on=born_on)
        EmergencyContact.objects.create(
            child=child, name=str(parent), phone="+1 555 010 0199", relationship="Parent", is_primary=True
        )


def _verify(user: User) -> None:
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
