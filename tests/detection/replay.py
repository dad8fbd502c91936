"""Plays a recorded scenario to the detectors on a clock of its own, and notes what would have been reported when."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from healing.detection.cache import ObjectCache
from healing.detection.evaluation import NEEDED_KINDS, Evaluator
from healing.detection.reporting import Report
from healing.detection.sighting import Sighting
from healing.detection.tracking import Tracker
from healing.ports.cluster import Object

SCENARIOS = Path(__file__).parent.parent / "recordings" / "scenarios"
TICK_SECONDS = 0.5
_RESOURCES = ("nodes", "deployments", "replicasets", "jobs", "services", "events", "pods")


@dataclass(frozen=True)
class Seen:
    """A report: ``at`` in seconds after the scenario's start."""

    at: float
    sighting: Sighting

    @property
    def what(self) -> tuple[str, str, str]:
        ref = self.sighting.target.ref
        return ref.kind, ref.name, self.sighting.symptom


class Stage:
    """The real cache, tracker and evaluator; only the engine is replaced by a list."""

    def __init__(self, start: datetime) -> None:
        self.start = start
        self.at = 0.0
        self.seen: list[Seen] = []
        self.cache = ObjectCache()
        self.tracker = Tracker(clock=lambda: self.at)
        self.evaluator = Evaluator(self.cache, self.tracker, self, threading.Event())  # type: ignore[arg-type]
        for kind in NEEDED_KINDS:
            self.evaluator.synced(kind, [])

    @property
    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.at)

    def report(self, sighting: Sighting, standing_since: datetime | None, now: datetime) -> Report:
        self.seen.append(Seen(self.at, sighting))
        return Report(None, False, 1e9)

    def tell(self, event_type: str, obj: Object) -> None:
        self.evaluator.changed(self.cache.apply(event_type, obj))
        self.look()

    def look(self) -> None:
        self.evaluator.evaluate_dirty(self.now)
        self.evaluator.report_due(self.now)

    def until(self, at: float) -> None:
        """Let time pass; the evaluator looks again at what is suspicious, as its ticks do."""
        while self.at + TICK_SECONDS < at:
            self.at += TICK_SECONDS
            for tracked in self.tracker.entries():
                self.evaluator.changed(tracked.object_key)
            self.look()
        self.at = at
        self.look()


def play(
    name: str,
    *,
    go_on_seconds: float = 0.0,
    prepare: Callable[[Stage], None] | None = None,
    until: float = float("inf"),
) -> Stage:
    """The scenario from start to end, then ``go_on_seconds`` in which nothing more happens."""
    rows = _rows(name)
    stage = Stage(_start(rows))
    if prepare is not None:
        prepare(stage)
    for at, event_type, obj in rows:
        if at > until:
            break
        stage.until(at)
        stage.tell(event_type, obj)
    stage.until(stage.at + go_on_seconds)
    return stage


def _rows(name: str) -> list[tuple[float, str, Object]]:
    with gzip.open(SCENARIOS / f"{name}.json.gz") as file:
        watches = json.load(file)["watches"]
    return sorted(
        (
            (row["t"], row["event"]["type"], row["event"]["object"])
            for resource in _RESOURCES
            for row in watches.get(resource, ())
            if row["event"]["type"] in ("ADDED", "MODIFIED", "DELETED")
        ),
        key=lambda row: row[0],
    )


def _start(rows: list[tuple[float, str, Object]]) -> datetime:
    """The wall clock at t=0: objects that were added while the recorder watched were made at that moment."""
    times = [
        datetime.fromisoformat(obj["metadata"]["creationTimestamp"]) - timedelta(seconds=int(at))
        for at, event_type, obj in rows
        if event_type == "ADDED" and obj.get("kind") == "Pod"
    ]
    return max(times)
