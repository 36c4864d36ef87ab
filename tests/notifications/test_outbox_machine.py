"""Whatever the provider answers and reports, and wherever a sender dies: after each step the rows agree with
the provider's books, and no email arrives twice without a post that is known to have had no answer.

No rule is chosen by what the rows hold: how far a dying sender comes is not the same in each run.
"""

import contextlib
import json
import time
from collections import Counter
from datetime import timedelta

import hypothesis.strategies as st
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from billing.models import Credit
from csf.refusal import NotPossible
from demo.standins.sendgrid.events import load_private_key, new_keypair, signed_headers
from notifications.accounts import AccountEvent
from notifications.by_staff import staff_acts
from notifications.delivery.events import fold_events
from notifications.models import (
    FINAL,
    DrainSignal,
    EmailAct,
    EmailAttempt,
    EmailEvent,
    EmailMessage,
    Suppression,
)
from notifications.outbox import notify
from notifications.sending import drain as drain_module
from notifications.sending.drain import drain
from notifications.sending.results import forget_secrets, recover_lost, resolve_unknown
from tests import lock_order
from tests.factories import create_guardian, create_household, create_staff

PRIVATE, PUBLIC = new_keypair()
MOST_TRIES = 4
ACCEPTED = "silent"  # the events are told by the machine
ANSWERS = [
    *[ACCEPTED] * 4,
    *["cut", "cut", "torn", "slow", "status504"],  # accepted, and nobody knows
    *["cutbefore", "garbage", "status502", "status200"],
    *["status429", "status503", "status503", "status500", "status400", "status401"],
]
REPORTED_SENT = {"sent", "delivered", "bounced", "dropped", "complained"}
NOT_DELIVERED = ["queued", "sending", "sent", "unknown", "withheld", "suppressed"]
EVENTS = ["processed", "deferred", "delivered", "delivered", "bounce", "dropped", "spamreport", "open"]
WAITS_S = [61, 130, 130, 16 * 60, 3 * 3600]
picks = st.integers(0, 99)
acts = st.lists(st.sampled_from(["signs_up", "gets_credit", "asks_for_a_code"]), max_size=3)
answers = st.lists(st.sampled_from(ANSWERS), max_size=6)


class Killed(BaseException):
    """The sender is dead: no handler of the product sees it, and no statement comes through any more."""


class Outbox(RuleBasedStateMachine):
    mail_server = None

    def __init__(self):
        super().__init__()
        self.undo = contextlib.ExitStack()
        self.undo.enter_context(lock_order.outermost())
        self.mail_server.reset()
        self.mail_server.control(rate_reset_seconds=60, slow_ms=500)
        self.books, self.suppressed = [], {}

    def teardown(self):
        transaction.set_rollback(True)
        self.undo.close()

    @initialize()
    def begin(self):
        self.office = create_staff()
        self.facts = []

    # --- Facts ----------------------------------------------------------------------------------------------

    def _families_act(self, acts):
        """A copy of the first email does no harm, one of the second would confuse, the third is secret. No
        rule of its own, for Hypothesis leaves out some rules in each run."""
        for act in acts:
            getattr(self, f"_{act}")(create_guardian(household=create_household()))

    def _signs_up(self, user):
        self._owe("welcome", user)

    def _gets_credit(self, user):
        credit = Credit.objects.create(household=user.household, amount_cents=500, cause="granted")
        self.facts.append(("credit_added", credit))

    def _asks_for_a_code(self, user):
        expires_at = timezone.now() + timedelta(minutes=5)
        self._owe("account_login_code", AccountEvent(user, {"code": "A1B2C3", "minutes": 5}, expires_at))

    def _owe(self, kind, fact):
        self.facts.append((kind, fact))
        notify(kind, [fact])

    @precondition(lambda self: self.facts)
    @rule(pick=picks)
    def a_fact_is_sent_again(self, pick):
        kind, fact = self.facts[pick % len(self.facts)]
        before = EmailMessage.objects.count()
        notify(kind, [fact])
        assert EmailMessage.objects.count() == before

    # --- Senders --------------------------------------------------------------------------------------------

    @rule(acts=acts, answers=answers, is_reported_early=st.booleans())
    def a_sender_works(self, acts, answers, is_reported_early):
        self._families_act(acts)
        self._drain(answers, self._fate(is_reported_early=is_reported_early))

    @rule(
        acts=acts,
        answers=answers,
        statements=st.integers(1, 6),
        is_before_posts=st.sampled_from([False, False, True]),
    )
    def a_sender_dies(self, acts, answers, statements, is_before_posts):
        """At a statement to the database, counted from its first post on, or from its first claim."""
        self._families_act(acts)
        self._drain(answers, self._fate(dies_at=statements, is_before_posts=is_before_posts))

    def _drain(self, answers, fate):
        self.mail_server.control(next=answers)
        with contextlib.suppress(Killed), connection.execute_wrapper(fate):
            drain()
        # A dead `bulk_create` takes our whole transaction for broken; no statement of it came through.
        transaction.set_rollback(False)
        self.mail_server.control(next=[])

    def _fate(self, *, is_reported_early=False, dies_at=None, is_before_posts=False):
        reported = before = len(self.books)
        statements, is_reporting = 0, False

        def wrapper(execute, sql, *arguments):
            nonlocal reported, statements, is_reporting
            if is_reporting or "SAVEPOINT" in sql:
                return execute(sql, *arguments)
            posted = self.mail_server.requests()
            is_claimed = is_before_posts and "FOR UPDATE SKIP LOCKED" in sql.upper()
            statements += bool(statements or is_claimed or len(posted) > before)
            if dies_at and statements >= dies_at:
                raise Killed
            if is_reported_early and sql.lstrip().startswith("UPDATE"):
                is_reporting = True
                self._report(
                    [_event(request, "delivered") for request in posted[reported:] if request["accepted"]]
                )
                reported, is_reporting = len(posted), False
            return execute(sql, *arguments)

        return wrapper

    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds):
        """As if the clock had been put on, then the minute's sweep."""
        passed = timedelta(seconds=seconds)
        times = ["next_attempt_at", "leased_until", "posting_at", "expires_at", "created_at"]
        EmailMessage.objects.update(**{name: F(name) - passed for name in times})
        DrainSignal.objects.update(closed_until=F("closed_until") - passed)
        self._sweep()

    def _sweep(self):
        recover_lost()
        resolve_unknown()
        forget_secrets()
        while fold_events():
            pass

    # --- The provider ---------------------------------------------------------------------------------------

    @rule(
        pick=picks, names=st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3), is_folded=st.booleans()
    )
    def events_come(self, pick, names, is_folded):
        """Of any email that was ever accepted, in any order, again and again; or never."""
        if accepted := self.accepted():
            request = accepted[pick % len(accepted)]
            self._report([_event(request, name) for name in names], is_folded=is_folded)

    def _report(self, events, *, is_folded=True):
        if not events:
            return
        body = json.dumps(events).encode()
        headers = signed_headers(load_private_key(PRIVATE), body, str(int(time.time())))
        answer = Client().post(
            reverse("sendgrid_events"), body, content_type="application/json", headers=headers
        )
        assert answer.status_code == 200
        if is_folded:
            fold_events()

    # --- Staff ----------------------------------------------------------------------------------------------

    @rule(pick=picks, act=st.sampled_from(["withhold", "requeue", "mark_sent"]))
    def staff_decide(self, pick, act):
        status = "queued" if act == "withhold" else "withheld"
        emails = list(EmailMessage.objects.filter(status=status).order_by("pk"))
        if emails:
            with contextlib.suppress(NotPossible):
                email = emails[pick % len(emails)]
                getattr(staff_acts, act)(email=email, by=self.office, reason="a call")

    @rule(pick=picks)
    def an_address_is_suppressed(self, pick):
        emails = list(EmailMessage.objects.filter(status="queued").order_by("pk"))
        if emails:
            address = emails[pick % len(emails)].to
            self.suppressed.setdefault(address, len(self.books))
            Suppression.objects.get_or_create(address=address, scope="all", defaults={"cause": "staff"})

    # --- What must hold -------------------------------------------------------------------------------------

    @rule()
    def in_calm_weather_everything_ends(self):
        unfinished = EmailMessage.objects.exclude(status__in=FINAL)
        for _ in range(12):
            if not unfinished.exists():
                break
            self.wait(16 * 60)
            self._drain([], self._fate())
        assert list(unfinished.values("kind", "status", "tries")) == []

    @invariant()
    def rows_and_books_agree(self):
        self.books = self.mail_server.requests()
        asked = Counter(request["custom_args"]["outbox_id"] for request in self.books)
        taken = Counter(request["custom_args"]["outbox_id"] for request in self.accepted())
        attempts = Counter(EmailAttempt.objects.values_list("message", flat=True))
        outcomes = Counter(EmailAttempt.objects.values_list("message", "outcome"))
        acts = Counter(EmailAct.objects.values_list("message", "act"))
        for row in EmailMessage.objects.all():
            posts, accepted = asked[str(row.public_id)], taken[str(row.public_id)]
            unknown, is_marked = outcomes[row.pk, "unknown"], acts[row.pk, "marked_sent"]
            in_doubt = unknown + (outcomes[row.pk, "open"] if row.status == "sending" else 0)
            about = f"{row.kind} is {row.status}, posted {posts}, accepted {accepted}, {unknown} unknown"
            assert posts <= attempts[row.pk], f"{about}: a post that was not written down before"
            assert accepted <= 1 + unknown, f"{about}: a copy that nobody knows of"
            assert accepted <= 2 + acts[row.pk, "requeued"], f"{about}: too many copies"
            assert row.tries <= min(MOST_TRIES + unknown, attempts[row.pk]), f"{about}, {row.tries} tries"
            if row.status in REPORTED_SENT:
                assert accepted or is_marked, f"{about}: it was never taken"
            else:
                assert accepted <= in_doubt, f"{about}: it was taken"
            assert not (row.status in FINAL and row.secret), f"{about}: its secret is kept"

    @invariant()
    def what_an_event_reported_is_not_forgotten(self):
        """Also if the answer to the post was settled later."""
        reported = EmailEvent.objects.filter(folded_at__isnull=False, name="delivered").values("outbox_id")
        forgotten = EmailMessage.objects.filter(public_id__in=reported, status__in=NOT_DELIVERED)
        assert list(forgotten.values("kind", "status", "tries")) == []

    @invariant()
    def nothing_goes_to_a_suppressed_address(self):
        for address, since in self.suppressed.items():
            assert not any(address in request["to"] for request in self.books[since:])

    def accepted(self):
        return [request for request in self.books if request["accepted"]]


def _event(request, name):
    return {
        "event": name,
        "email": request["to"][0],
        "timestamp": int(request["received_at"]),
        "sg_message_id": f"{request['message_id']}.filter0001",
        "sg_event_id": f"{request['id']}.{name}",
        "outbox_id": request["custom_args"]["outbox_id"],
        "type": "bounce",
        "reason": "550 5.1.1 no such address",
    }


@pytest.fixture
def machine(mail_server, settings):
    settings.EMAIL_THREADS = 1  # so that each email gets its own of the answers
    settings.ANYMAIL = settings.ANYMAIL | {
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": PUBLIC,
        "REQUESTS_TIMEOUT": (3, 0.25),
    }
    return type("OutboxHere", (Outbox,), {"mail_server": mail_server})


@pytest.mark.django_db
@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.chaos)])
def test_in_any_order_the_rows_agree_with_the_books(machine, examples):
    options = hypothesis_settings(
        max_examples=examples,
        stateful_step_count=40,
        phases=[Phase.generate],  # to shrink a failure would take longer than to read it
        derandomize=examples < 100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=options)


def dies_after_its_post(machine):
    """The copy that comes then is known, or an invariant reports it."""
    outbox = machine()
    try:
        outbox.begin()
        outbox.a_sender_dies(acts=["signs_up"], answers=[], statements=1, is_before_posts=False)
        outbox.rows_and_books_agree()
        outbox.in_calm_weather_everything_ends()
        outbox.rows_and_books_agree()
        return len(outbox.accepted())
    finally:
        outbox.teardown()


@pytest.mark.django_db
def test_without_the_fence_a_copy_is_not_known(machine, monkeypatch):
    """The negative control: the same death, with and without what is written before the post."""
    assert dies_after_its_post(machine) == 2

    without = drain_module.FENCE.replace("posting_at = csf_now()", "posting_at = NULL")
    monkeypatch.setattr(drain_module, "FENCE", without)
    with pytest.raises(AssertionError, match="a copy that nobody knows of"):
        dies_after_its_post(machine)
