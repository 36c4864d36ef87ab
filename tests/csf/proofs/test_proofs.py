"""The nightly proof: in slices, narrow and in full, with its alerts."""

import datetime
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Max
from django.utils import timezone

from csf.models import Cluster, Instance, ProofRun
from csf.proofs import invariants, nightly
from csf.proofs.invariants import Invariant
from csf.proofs.nightly import prove
from notifications.alerts.rules import symptoms
from tests.factories import create_cluster

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def rules(monkeypatch):
    """Three invariants, of which the second is broken while `ids` holds something."""
    ids, looks = [], []

    def rule(number, found):
        def find(since=None):
            looks.append((number, since))
            return list(found)

        return Invariant(number, f"rows of {number}", find, find)

    monkeypatch.setattr(
        nightly, "registered", lambda: iter([rule("A1", []), rule("B2", ids), rule("C3", [])])
    )
    return ids, looks


def noon(days=0):
    return timezone.now().replace(hour=12, minute=0) + timedelta(days=days)


def proved(days=0):
    """A whole proof of that day, made to have begun then."""
    while prove(now=noon(days)):
        pass
    run = ProofRun.objects.latest("pk")
    ProofRun.objects.filter(pk=run.pk).update(began_at=noon(days), finished_at=noon(days) + HOUR)
    return ProofRun.objects.get(pk=run.pk)


def told():
    return {sign.name for sign in symptoms()} & {"invariants_broken", "proof_late"}


def test_a_proof_a_day_narrow_until_something_is_broken_and_in_full_each_week(rules):
    ids, looks = rules
    first = proved(-8)
    assert (first.mode, first.looked_at, first.broken, told()) == ("full", 3, [], {"proof_late"})
    assert prove(now=noon(-8)) is False
    assert ProofRun.objects.count() == 1

    ids += range(100)
    second = proved(-7)
    since = first.began_at - HOUR
    assert (second.mode, second.since) == ("recent", since)
    assert looks[3:] == [("A1", since), ("B2", since), ("C3", since)]
    assert second.broken == [{"number": "B2", "broken": "rows of B2", "count": 100, "ids": list(range(20))}]
    assert second.lines[0].startswith("B2 rows of B2 (100): 0, 1, 2")

    third = proved(-6)
    since = second.began_at - HOUR
    assert (third.mode, looks[6:]) == ("recent", [("A1", since), ("B2", None), ("C3", since)])
    assert told() == {"invariants_broken", "proof_late"}

    ids.clear()
    modes = [proved(day).mode for day in range(-5, 1)]
    assert modes == ["recent"] * 4 + ["full", "recent"]
    assert told() == set()


def test_it_goes_on_where_time_or_a_kill_ended_it_and_nobody_else_joins(rules, monkeypatch):
    _, looks = rules
    monkeypatch.setattr(nightly, "within", lambda rows: rows[:1])

    assert prove(now=noon()) is True
    assert [number for number, _ in looks] == ["A1"]

    ProofRun.objects.update(leased_until=timezone.now() + HOUR)
    assert prove(now=noon()) is False
    ProofRun.objects.update(leased_until=timezone.now() - HOUR)
    assert prove(now=noon()) is True
    assert prove(now=noon()) is False
    assert [number for number, _ in looks] == ["A1", "B2", "C3"]
    run = ProofRun.objects.get()
    assert (run.looked_at, run.leased_until, run.finished_at is None) == (3, None, False)


def test_none_is_due_before_its_time(rules):
    before = datetime.datetime.combine(timezone.localdate(), nightly.AT) - HOUR
    assert prove(now=timezone.make_aware(before)) is False
    assert not ProofRun.objects.exists()


def test_one_that_takes_too_long_is_told_and_does_not_stop_the_others(rules, monkeypatch):
    def slow():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(30)")
        return []

    monkeypatch.setattr(nightly, "ONE_TAKES_AT_MOST_S", "0.1")
    monkeypatch.setattr(
        nightly, "registered", lambda: iter([Invariant("S9", "slow rows", slow), Invariant("T1", "t", list)])
    )
    run = proved()
    assert (run.looked_at, [found["broken"] for found in run.broken]) == (
        2,
        ["could not check within 0.1 s for slow rows"],
    )
    assert told() == {"invariants_broken"}


def test_what_a_person_looks_at_counts_and_what_is_listed_or_narrow_does_not(capsys, monkeypatch):
    Instance.begin()
    Instance.objects.update(created_at=timezone.now() - 27 * HOUR)
    assert told() == {"proof_late"}

    call_command("check_invariants", "--since", "2026-01-01")
    call_command("check_invariants", "--list")
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "all invariants hold"
    assert len(listed) == len(list(invariants.registered())) + 1
    assert not ProofRun.objects.exists()

    monkeypatch.setattr(invariants, "registered", lambda: iter([Invariant("X1", "x", lambda: [7])]))
    with pytest.raises(CommandError, match="1 invariants do not hold") as error:
        call_command("check_invariants", "--full")
    run = ProofRun.objects.get()
    assert (error.value.returncode, run.mode, run.lines) == (1, "full", ["X1 x (1): 7"])
    assert told() == {"invariants_broken"}


def test_rows_are_narrowed_by_the_last_id_that_is_older():
    assert invariants.last_before(Instance, None) == 0
    create_cluster()
    last = Cluster.objects.aggregate(pk=Max("pk"))["pk"]
    now = timezone.now()
    assert invariants.last_before(Cluster, now + HOUR, at="seen_at") == last
    assert invariants.last_before(Cluster, now - HOUR, at="seen_at") == 0
