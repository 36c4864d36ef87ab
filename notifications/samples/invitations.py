from notifications.facts.samples import HOSTILE, LONG
from notifications.kinds import EmailKind
from notifications.spec import Samples
from notifications.spec import Snapshot as Context

INVITATION: Context = {
    "first_name": "",
    "inviter": "Maria Lopez",
    "family": "Lopez family",
    "has_account": False,
    "invitation_path": "/invitation/IjZmMWI0YzFlIg:k3J9/",
    "ends_at": "2026-09-12T21:00:12+00:00",
}

SAMPLES: dict[str, Samples] = {
    EmailKind.GUARDIAN_INVITATION: {
        "minimal": INVITATION | {"inviter": "maria@example.org"},
        "typical": INVITATION,
        "has an account": INVITATION | {"has_account": True},
        "with links": INVITATION | {"has_account": True, "preferences_path": "/emails/IjZmMWI0YzFlIg:k3J9/"},
        "huge": INVITATION | {"inviter": f"{LONG} {LONG}", "family": f"{LONG} family"},
        "hostile": INVITATION | {"inviter": HOSTILE, "family": HOSTILE},
    }
}
