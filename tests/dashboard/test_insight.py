"""Insight: every number against one counted by hand, places that are not shown, too few cases, exports."""

from __future__ import annotations

import csv
import io
import random
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from healing import figures
from healing.access import grants_of
from healing.clocks import wound_clocks
from healing.dashboard.insight import numbers as counting
from healing.dashboard.insight.numbers import Numbers, Tally, read
from healing.dashboard.insight.percentiles import Spread, percentile
from healing.dashboard.insight.scope import BadScope, Scope
from healing.lifecycle import Outcome, Wound
from healing.models import Approval, EventFigures, HealingEvent, Involvement, WarningKind, WarningState
from tests import stored
from tests.dashboard import story
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
NOW = datetime(2031, 5, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite gives the rows of the next test the numbers of those that were rolled back."""
    monkeypatch.setattr(counting, "_kept", counting._Kept())


def scatter(count: int, seed: int, now: datetime = NOW, days: float = 40) -> list[EventFigures]:
    """Events of all kinds over the last days, some of them at the very edge of one."""
    dice = random.Random(seed)
    rows = []
    for _ in range(count):
        outcome = dice.choices(list(Outcome), (10, 3, 2, 2, 1))[0]
        detected = now - timedelta(days=dice.random() * days)
        if dice.random() < 0.1:
            detected = detected.replace(hour=0, minute=0, second=0, microsecond=0)
        seconds = [None if dice.random() < 0.1 else round(dice.expovariate(1 / 6), 3) for _ in range(4)]
        rows.append(
            EventFigures(
                cluster=dice.choice(("default", "east")),
                namespace=dice.choice(("shop", "bank", "")),
                cause=dice.choice(("BadRollout", "MemoryLimitTooLow", "NodeDown", "")),
                policy_name=dice.choice(("shop/careful", "bold")),
                source=dice.choice(("watch", "metrics", "person")),
                outcome=outcome,
                involvement=dice.choice(list(Involvement)),
                acted=dice.random() < 0.5,
                detected_at=detected,
                finished_at=detected + timedelta(minutes=2),
                containment_seconds=seconds[0],
                diagnosis_seconds=seconds[1],
                metacognition_seconds=seconds[2],
                knowledge_seconds=seconds[3],
                total_seconds=round(dice.expovariate(1 / 40), 3),
                waited_seconds=0.0,
                undone=dice.randrange(3),
                undo_failed=dice.random() < 0.02,
            )
        )
    return EventFigures.objects.bulk_create(rows)


def admin() -> User:
    return User.objects.create_superuser("root")


def check(tally: Tally, rows: list[EventFigures]) -> None:
    outcomes = Counter(row.outcome for row in rows)
    healed = [row for row in rows if row.outcome == Outcome.HEALED]
    assert tally.events == len(rows)
    assert (tally.healed, tally.recovered, tally.declined) == (
        len(healed),
        outcomes[Outcome.RECOVERED],
        outcomes[Outcome.DECLINED],
    )
    assert (tally.escalated, tally.failed) == (outcomes[Outcome.ESCALATED], outcomes[Outcome.FAILED])
    assert tally.alone == sum(row.involvement == Involvement.NONE for row in healed)
    check_spread(tally.total, [row.total_seconds for row in healed])


def check_spread(spread: Spread, values: list[float]) -> None:
    assert spread.n == len(values)
    if not values:
        assert spread.p50 is None
        assert spread.p95 is None
        return
    assert spread.p50 == pytest.approx(statistics.median(values))
    if len(values) > 1:
        assert spread.p95 == pytest.approx(statistics.quantiles(values, n=100, method="inclusive")[94])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "asked", [{"days": "7"}, {"days": "90"}, {"days": "1"}, {"from": "2031-04-01", "to": "2031-04-20"}]
)
def test_every_number_is_what_counting_by_hand_gives(seed: int, asked: dict[str, str]) -> None:
    everything = scatter(400, seed)
    scope = Scope.parse({**asked, "cluster": "east" if seed % 2 else ""}, NOW)
    rows = [
        row
        for row in everything
        if scope.start <= row.detected_at < scope.end and (not scope.cluster or row.cluster == scope.cluster)
    ]
    numbers = read(scope, grants_of(admin()))
    check(numbers.all, rows)
    assert numbers.told_by_people == sum(row.source == "person" for row in rows)
    assert numbers.undone == sum(row.undone for row in rows)
    assert numbers.undo_failed == sum(row.undo_failed for row in rows)
    assert numbers.false_alarms == sum(row.outcome == Outcome.RECOVERED and not row.acted for row in rows)
    assert numbers.by_hand == sum(row.outcome == Outcome.HEALED and row.involvement == Involvement.HAND for row in rows)
    for clock in numbers.clocks:
        values = [v for row in rows if (v := getattr(row, f"{clock.wound.value.lower()}_seconds")) is not None]
        check_spread(clock.spread, values)
        assert clock.within == sum(value <= clock.budget_seconds for value in values)
    for name, column in (
        ("cause", "cause"),
        ("namespace", "namespace"),
        ("policy", "policy_name"),
        ("cluster", "cluster"),
    ):
        assert {tally.key for tally in numbers.by[name]} == {getattr(row, column) for row in rows}
        for tally in numbers.by[name]:
            check(tally, [row for row in rows if getattr(row, column) == tally.key])
    steps = [at for at, _ in numbers.trend] + [scope.end + timedelta(days=7)]
    assert sum(tally.events for _, tally in numbers.trend) == len(rows)
    for (at, tally), following in zip(numbers.trend, steps[1:], strict=True):
        check(tally, [row for row in rows if at <= row.detected_at < following])


def test_a_viewer_of_one_namespace_sees_its_numbers_only(client: Client) -> None:
    rows = scatter(200, 1, now=timezone.now(), days=5)
    vera = person("vera", "viewer", namespace="shop")
    theirs = [row for row in rows if row.namespace == "shop"]
    numbers = read(Scope.parse({"days": "30"}, timezone.now()), grants_of(vera))
    assert numbers.all.events == len(theirs)
    assert {tally.key for tally in numbers.by["namespace"]} == {"shop"}
    client.force_login(vera)
    answer = client.get("/api/v1/insight?namespace=bank").json()
    assert answer["total"]["events"] == 0
    assert client.get("/api/v1/insight").json()["total"]["events"] == len(theirs)
    assert "bank" not in client.get("/insight/").content.decode()
    client.force_login(person("nobody"))
    assert client.get("/insight/").status_code == 403


def test_finished_events_are_counted_once_with_the_clocks_of_their_pages() -> None:
    now = timezone.now()
    told = story.tell_all(now, story.approver())
    finished = {event.name: event for event in told.values() if HealingEvent.objects.get(pk=event.pk).finished_at}
    assert figures.count_finished() == len(finished) > 2
    assert figures.count_finished() == 0
    for row in EventFigures.objects.select_related("event"):
        assert row.event is not None
        clocks = {c.wound: c for c in wound_clocks(row.event, list(row.event.phase_runs.all()), now)}
        assert row.diagnosis_seconds == pytest.approx(clocks[Wound.DIAGNOSIS].elapsed_seconds, abs=0.001)
        assert row.outcome == row.event.outcome
        assert row.namespace == row.event.target_namespace
        if row.outcome == Outcome.HEALED:
            assert row.event.healed_at is not None
            total = (row.event.healed_at - row.event.detected_at).total_seconds() - row.event.waited_seconds
            assert row.total_seconds == pytest.approx(total, abs=0.001)
            assert row.acted
    decided = EventFigures.objects.get(event=told["declined"])
    assert decided.involvement in (Involvement.DECIDED, Involvement.HAND)
    before = EventFigures.objects.count()
    told["healed"].delete()
    assert EventFigures.objects.count() == before  # what has happened does not unhappen


def test_what_people_decided_and_how_long_it_took() -> None:
    told = story.tell_all(timezone.now(), story.approver())
    numbers = read(Scope.parse({"days": "7"}, timezone.now()), grants_of(admin()))
    rows = list(Approval.objects.all())
    states = Counter(row.state for row in rows)
    assert numbers.people.asked == len(rows)
    assert (numbers.people.approved, numbers.people.rejected) == (states["approved"], states["rejected"])
    answered = [row for row in rows if row.state in {str(state) for state in figures.DECIDED} and row.decided_at]
    waits = [(row.decided_at - row.created_at).total_seconds() - row.held_seconds for row in answered if row.decided_at]
    check_spread(numbers.people.waiting, waits)
    against = [row for row in answered if row.state != "approved"]
    assert sum(d.differently for d in numbers.people.disagreements) == len(against) > 0
    for found in numbers.people.disagreements:
        assert found.last is not None
        assert found.last.event.cause == found.cause
    assert told["declined"].name in {d.last.event.name for d in numbers.people.disagreements if d.last}


def test_forecasts_that_were_never_shown_do_not_count() -> None:
    now = timezone.now()
    for looks, state in ((2, WarningState.CAME_TRUE), (1, WarningState.CLEARED), (5, WarningState.PREVENTED)):
        opened_at = now - timedelta(hours=2)
        stored.warning(
            WarningKind.VOLUME, f"data-{looks}", at=now, state=state, looks=looks, breach_at=now, opened_at=opened_at,
            closed_at=now,
        )  # fmt: skip
    found = read(Scope.parse({"days": "1"}, now), grants_of(admin())).warned
    assert (found.came_true, found.prevented, found.cleared, found.closed) == (1, 1, 0, 2)
    assert found.lead.p50 == pytest.approx(7200)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"days": "0"}, "from 1 to 366"),
        ({"days": "many"}, "whole number"),
        ({"from": "2031-02-30"}, "a day like"),
        ({"from": "2031-05-02", "to": "2031-05-01"}, "after the last"),
        ({"from": "2029-01-01", "to": "2031-01-01"}, "366 days"),
        ({"minutes": "99999"}, "from 1 to 1440"),
        ({"namespace": "a\0b"}, "NUL"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_what_can(asked: dict[str, str], says: str, client: Client) -> None:
    with pytest.raises(BadScope, match=says):
        Scope.parse(asked, NOW)
    client.force_login(admin())
    assert client.get("/api/v1/insight", asked).status_code == 422
    page = client.get("/insight/", asked)
    assert page.status_code == 422
    assert "Shown are the last 30 days" in page.content.decode()


def test_a_range_keeps_its_days_in_the_address() -> None:
    scope = Scope.parse({"from": "2031-04-01", "to": "2031-04-30", "minutes": "45"}, NOW)
    assert (scope.length_days, scope.step) == (30, "day")
    assert Scope.parse(dict(pair.split("=") for pair in scope.query().split("&")), NOW) == scope
    assert Scope.parse({"days": "1"}, NOW).step == "hour"
    week = Scope.parse({"days": "366"}, NOW)
    assert week.step == "week"
    assert all(at.weekday() == 0 for at in week.steps())


def test_few_cases_are_said_to_be_few(client: Client) -> None:
    client.force_login(admin())
    empty = client.get("/insight/").content.decode()
    assert "Nothing has ended here in this time" in empty
    scatter(3, 3, now=timezone.now(), days=0.01)
    EventFigures.objects.update(outcome=Outcome.HEALED)
    few = client.get("/insight/").content.decode()
    assert "3 of 3" in few
    assert "too few cases to say" in few
    assert "100 %" not in few


def test_the_csv_says_the_same_as_the_document(client: Client) -> None:
    scatter(120, 9, now=timezone.now(), days=5)
    EventFigures.objects.filter(cause="NodeDown").update(cause="=HYPERLINK(1)")
    client.force_login(admin())
    told = client.get("/api/v1/insight?days=7&minutes=10").json()
    answer = client.get("/api/v1/insight/export.csv?days=7&minutes=10")
    assert answer["Content-Type"].startswith("text/csv")
    assert "attachment" in answer["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    found: dict[tuple[str, str, str], Any] = {(r["section"], r["key"], r["measure"]): r["value"] for r in rows}
    assert int(found["total", "", "healed"]) == told["total"]["healed"]
    assert float(found["total", "", "healing.p50Seconds"]) == pytest.approx(told["total"]["healing"]["p50Seconds"])
    assert told["saved"]["hours"] == pytest.approx(told["total"]["healedWithoutPeople"] * 10 / 60, abs=0.01)
    assert ("cause", "'=HYPERLINK(1)", "events") in found
    assert sum(int(v) for (s, _, m), v in found.items() if s == "day" and m == "events") == told["total"]["events"]


def test_the_number_of_queries_does_not_grow(django_assert_max_num_queries: Any) -> None:
    grants = grants_of(admin())
    scatter(10, 5)
    with CaptureQueriesContext(connection) as few:
        read(Scope.parse({"days": "90"}, NOW), grants)
    scatter(300, 6)
    with django_assert_max_num_queries(len(few)):
        read(Scope.parse({"days": "90"}, NOW), grants)


def test_a_percentile_of_one_is_itself() -> None:
    assert percentile([4.0], 0.95) == 4.0
    assert percentile([1.0, 2.0], 0.5) == 1.5


def test_what_it_saved_follows_the_assumption() -> None:
    scatter(50, 8)
    grants = grants_of(admin())

    def saved(minutes: str) -> Numbers:
        return read(Scope.parse({"days": "90", "minutes": minutes}, NOW), grants)

    assert saved("60").saved_hours == saved("60").all.alone > 0
    assert saved("30").saved_hours == saved("60").saved_hours / 2
