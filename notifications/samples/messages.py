"""What staff may write to families."""

from django.conf import settings

from notifications.facts.samples import HOSTILE, LONG
from notifications.kinds import EmailKind
from notifications.models.messages import MAX_BODY_LINES
from notifications.office.family_messages import message_facts
from notifications.spec import Samples
from notifications.spec import Snapshot as Context

ABOUT = "Bring a towel and warm socks on Saturday"
BODY = f"""The hall is cold this week: please bring a towel and warm socks for the breaks, and a drink.

What else to bring stands here:
{settings.SITE_URL}/classes/robotics-for-beginners/
We open the doors at 9:45.

See you on Saturday!
Your coaches Ann and Bo"""


def _message(about: str = ABOUT, body: str = BODY, *classes: str, first_name: str = "Maria") -> Context:
    return message_facts(about, body, list(classes)) | {"first_name": first_name}


def _samples(*classes: str) -> dict[str, Context]:
    # Hostile words stand on one line here: what staff write on several lines may say anything.
    flat = " ".join(HOSTILE.split())
    return {
        "minimal": _message("News", "No class on Monday.", first_name=""),
        "typical": _message(ABOUT, BODY, *classes),
        "huge": _message(LONG, f"{LONG} & more\n\n" * (MAX_BODY_LINES // 2), *[LONG] * 7, first_name=LONG),
        "hostile": _message(HOSTILE, f"{flat}\n\nBye", HOSTILE, first_name=HOSTILE),
    }


SAMPLES: dict[str, Samples] = {
    EmailKind.CLASS_MESSAGE: _samples("Robotics for Beginners", "Swimming, Level 2"),
    EmailKind.NEWSLETTER: _samples(),
}
