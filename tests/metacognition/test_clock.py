"""Whose time it is: ours, another event's, the cluster's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healing.clocks import WoundClock, wound_clocks
from healing.lifecycle import Phase, Wound
from healing.metacognition import waits
from healing.models import PhaseRun
from healing.phase import PhaseResult
from healing.ports import ObjectRef
from tests.actions import events

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def clock(*runs: tuple[Phase, float, float | None, dict[str, Any]], now: float = 100) -> WoundClock:
    event = events.put(events.event(ObjectRef("Deployment", "shop", "web")), runs[-1][0])
    rows = [
        PhaseRun(event=event, phase=phase, number=n, started_at=at(began), result=kept,
                 finished_at=None if ended is None else at(ended))
        for n, (phase, began, ended, kept) in enumerate(runs, 1)
    ]  # fmt: skip
    return next(c for c in wound_clocks(event, rows, at(now)) if c.wound == Wound.METACOGNITION)


def test_waiting_for_others_and_the_clusters_time_are_kept_beside_ours() -> None:
    found = clock(
        (Phase.PLANNING, 0, 32, {"othersSeconds": 30}),
        (Phase.AWAITING_APPROVAL, 32, 40, {}),
        (Phase.HEALING, 40, 41, {}),
        (Phase.VERIFYING, 41, 71, {"clusterSeconds": 19.5, "stableSeconds": 10}),
    )
    assert found.elapsed_seconds == pytest.approx(2 + 1 + 10.5)
    assert (found.others_seconds, found.waited_seconds, found.cluster_seconds) == (30, 8, 19.5)
    assert found.stable_seconds == 10
    assert not found.over_budget


def test_an_open_run_stands_still_while_others_are_at_work() -> None:
    waiting = clock((Phase.PLANNING, 0, None, {"waitingSince": at(3).isoformat()}))
    assert (waiting.elapsed_seconds, waiting.others_seconds, waiting.running_since) == (3, 97, None)
    rolling = clock((Phase.VERIFYING, 60, None, {"wellSince": "", "looks": 3}))
    assert (rolling.elapsed_seconds, rolling.cluster_seconds, rolling.running_since) == (0, 40, None)
    stable = clock((Phase.VERIFYING, 60, None, {"wellSince": at(95).isoformat()}))
    assert (stable.elapsed_seconds, stable.running_since) == (5, at(95))
    assert stable.cluster_seconds == 35


def test_a_phase_writes_down_how_long_it_has_waited() -> None:
    event = events.put(events.event(ObjectRef("Deployment", "shop", "web")), Phase.PLANNING)
    run = PhaseRun.objects.create(event=event, phase=Phase.PLANNING, number=1, started_at=START)
    answers = [PhaseResult.wait(2.0), PhaseResult(Phase.HEALING, result={"agents": 2})]
    answers[0].result = {"waitedFor": ["he-other"]}
    handler = waits.keeping_books(lambda _: answers.pop(0))
    context: Any = events.context(event, None)  # type: ignore[arg-type]
    first = handler(context)
    run.result = {**first.result, "waitingSince": (datetime.now(UTC) - timedelta(seconds=7)).isoformat()}
    run.save()
    second = handler(context)
    assert second.result["othersSeconds"] == pytest.approx(7, abs=5)
    assert second.result["waitedFor"] == ["he-other"]
    assert second.result["agents"] == 2
    assert "waitingSince" not in second.result
