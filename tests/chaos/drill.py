"""One disturbance while events are in flight: wounds, the disturbance, and what came of every event.

What was done is counted by the cluster, not by us: each change of a Deployment's spec raises its generation by one, and
each new pod template leaves a ReplicaSet.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from healing.actions.labels import QUARANTINE
from healing.actions.operations import EVENT_LABEL
from healing.ports.cluster import Object
from recist_web.bench.product import CRASH, NO_IMAGE, deployment, is_rolled_out
from tests.chaos.arena import NAMESPACE, Arena

SHOP = "shop"
_DONE = ("applied", "undoing", "undone", "undoFailed")
_WELL = ("healed", "recovered")
_CALL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Disturbance:
    """``act`` breaks something, and puts it right again before it returns. ``bad_pod``: a workload of the shop one of
    whose pods goes bad too, so that there is an isolation to release."""

    name: str
    act: Callable[[Arena], None]
    bad_pod: str = ""


@dataclass(slots=True)
class Row:
    """What one disturbance did. ``in_flight``: events under way when it began. ``recovery_seconds``: from its end until
    every event had ended and every workload was well; None: not in time."""

    fault: str
    in_flight: int = 0
    events: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    handed_over: list[str] = field(default_factory=list)
    recovery_seconds: float | None = None
    tries: int = 0
    #: the id before that of its first event
    first: int = 0

    @property
    def problems(self) -> list[str]:
        return [f"{self.fault}: {text}" for text in (*self.lost, *self.doubled, *self.left_behind)]

    def as_line(self) -> str:
        took = "-" if self.recovery_seconds is None else f"{self.recovery_seconds:.0f} s"
        return (
            f"{self.fault}: {self.in_flight} of {self.events} in flight, {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled, {len(self.left_behind)} left behind, {len(self.handed_over)} handed to a "
            f"person, {self.tries} runs repeated, recovered in {took}"
            + "".join(f"\n  {text}" for text in (*self.problems, *self.handed_over))
        )


def drill(arena: Arena, disturbance: Disturbance, *, workloads: int, prefix: str, patience_seconds: float) -> Row:
    """Break ``workloads`` healthy Deployments, disturb, and judge when everything has ended or patience is over."""
    names = [f"{prefix}-{number}" for number in range(workloads)]
    _each(names, lambda name: arena.cluster.create("Deployment", NAMESPACE, _healthy(name)))
    arena.wait_for(lambda: _are_well(arena, names), "the new workloads are ready", 120)
    before = {name: arena.deployments()[name]["metadata"]["generation"] for name in names}
    first = max((row["id"] for row in arena.rows("SELECT id FROM healing_healingevent")), default=0)
    if disturbance.bad_pod:
        params = {"namespace": SHOP, "workload": disturbance.bad_pod, "pods": 1, "scope": "pod", "error_rate": 0.9}
        arena.control.post("/faults", json={"fault": "errors", "params": params}).raise_for_status()
        arena.wait_for(lambda: _isolations(arena, first), "the bad pod is isolated", 90)
    releases = list(zip(names, (CRASH, NO_IMAGE) * workloads, strict=False))
    _each(releases, lambda release: _release(arena, *release))
    row = Row(disturbance.name, first=first)
    arena.wait_for(lambda: _open(arena, first, phase="Containing"), "something is in flight", 60)
    row.in_flight = len(_open(arena, first))
    disturbance.act(arena)
    quiet_since = time.monotonic()
    wanted = {*names, *([disturbance.bad_pod] if disturbance.bad_pod else [])}
    if arena.until(lambda: _all_ended(arena, first, wanted) and _are_well(arena, names), patience_seconds):
        row.recovery_seconds = time.monotonic() - quiet_since
    arena.until(lambda: not _left_behind(arena), 40)
    _judge(arena, row, first, names, disturbance.bad_pod, before)
    _each(names, lambda name: arena.cluster.delete("Deployment", NAMESPACE, name))
    return row


def _judge(arena: Arena, row: Row, first: int, names: list[str], bad_pod: str, before: dict[str, int]) -> None:
    events = arena.rows("SELECT * FROM healing_healingevent WHERE id > %s ORDER BY id", first)
    row.events = len(events)
    live = arena.deployments()
    for name in (*names, *([bad_pod] if bad_pod else [])):
        mine = [event for event in events if event["target_name"] == name]
        row.lost += _lost(name, mine)
        ended = [f"{e['name']} ({name}): {e['outcome_reason']}" for e in mine if e["outcome"] == "escalated"]
        row.handed_over += ended
        claimed = any(e["outcome"] == "healed" for e in mine)
        if name in names and claimed and not ended and not is_rolled_out(live[name]):
            row.lost.append(f"{name} is called healed, and is not: {live[name]['status']}")
    row.doubled = _doubled(arena, first, names, before, live)
    row.left_behind = [*_left_behind(arena), *_gaps(arena, events)]
    query = (
        "SELECT coalesce(sum(claims - 1), 0) AS n FROM healing_phaserun WHERE event_id > %s AND phase <> 'Verifying'"
    )
    row.tries = int(arena.rows(query, first)[0]["n"])


def _lost(name: str, events: list[dict[str, Any]]) -> list[str]:
    if not events:
        return [f"{name}: its fault was never seen."]
    still = [f"{e['name']} ({name}) is still {e['phase']}/{e['status']}" for e in events if e["finished_at"] is None]
    failed = [f"{e['name']} ({name}): {e['outcome_reason']}" for e in events if e["outcome"] == "failed"]
    return still + failed


def _doubled(arena: Arena, first: int, names: list[str], before: dict[str, int], live: dict[str, Object]) -> list[str]:
    """What the cluster counted against what is written down."""
    found = []
    query = "SELECT * FROM healing_actionrun WHERE event_id > %s AND state = ANY(%s) ORDER BY id"
    rows = arena.rows(query, first, list(_DONE))
    sets = Counter(
        owner["name"]
        for item in arena.cluster.list("ReplicaSet", NAMESPACE, timeout_seconds=_CALL_SECONDS).items
        for owner in item["metadata"].get("ownerReferences") or ()
    )
    for name in names:
        mine = [row for row in rows if row["target"].get("name") == name]
        wanted = before[name] + 1 + sum(_writes(arena, row) for row in mine)
        counted = live[name]["metadata"]["generation"]
        if counted > wanted:
            told = ", ".join(f"{row['action']} {row['state']}" for row in mine)
            found.append(f"{name}: the cluster counts {counted} changes, written down are {wanted} ({told}).")
        twice = [f"{key[1]} of {key[0]}" for key, n in _keys(mine).items() if n > 1]
        if twice:
            found.append(f"{name}: more than once in one event: {', '.join(twice)}.")
        if sets[name] > 2:
            found.append(f"{name} has {sets[name]} ReplicaSets; one bad release and its way back leave 2.")
    opened = (
        "SELECT target_name, count(*) AS n FROM healing_healingevent WHERE id > %s AND target_name = ANY(%s) GROUP BY 1"
    )
    many = [event for event in arena.rows(opened, first, names) if event["n"] > 1]
    return found + [f"{event['target_name']}: {event['n']} events about one fault." for event in many]


def _keys(rows: list[dict[str, Any]]) -> Counter[tuple[int, str]]:
    return Counter((row["event_id"], row["action"]) for row in rows)


def _writes(arena: Arena, row: dict[str, Any]) -> int:
    """How often this run may have changed its target's spec: once an operation on it, and once for an undo."""
    operations = [o for o in row["pre_state"]["plan"]["operations"] if o["object"].get("name") == row["target"]["name"]]
    put_back = arena.rows(
        "SELECT id FROM healing_timelineentry WHERE event_id = %s AND kind IN ('released', 'undone') "
        "AND data->>'actionRun' = %s AND message NOT LIKE '%%put back already%%'",
        row["event_id"],
        str(row["id"]),
    )
    return len(operations) + len(put_back)


def _left_behind(arena: Arena) -> list[str]:
    """Containment that nobody has taken back."""
    found = [f"row: {row['pod_name']} is isolated" for row in _isolations(arena, 0)]
    for kind, label in (("Pod", QUARANTINE), ("NetworkPolicy", EVENT_LABEL)):
        left = arena.cluster.list(kind, "", label_selector=label, timeout_seconds=_CALL_SECONDS).items
        found += [f"{kind} {obj['metadata']['namespace']}/{obj['metadata']['name']}" for obj in left]
    found += [f"Deployment {name} is paused" for name, obj in arena.deployments().items() if obj["spec"].get("paused")]
    return found


def _gaps(arena: Arena, events: list[dict[str, Any]]) -> list[str]:
    """A timeline counts 1, 2, 3, ... without a gap."""
    found = []
    for event in events:
        rows = arena.rows("SELECT seq FROM healing_timelineentry WHERE event_id = %s ORDER BY seq", event["id"])
        if [row["seq"] for row in rows] != list(range(1, event["seq"] + 1)):
            found.append(f"{event['name']}: its timeline has gaps")
    return found


def _isolations(arena: Arena, first: int) -> list[dict[str, Any]]:
    query = "SELECT * FROM healing_isolation WHERE released_at IS NULL AND event_id > %s"
    return arena.rows(query, first)


def _open(arena: Arena, first: int, *, phase: str = "") -> list[dict[str, Any]]:
    """Events under way; with ``phase``: that are at least so far."""
    found = arena.rows("SELECT * FROM healing_healingevent WHERE id > %s AND finished_at IS NULL", first)
    return [event for event in found if not phase or event["phase"] != "Pending"]


def _all_ended(arena: Arena, first: int, wanted: set[str]) -> bool:
    rows = arena.rows_if_there("SELECT target_name, finished_at FROM healing_healingevent WHERE id > %s", first)
    if rows is None:
        return False
    return wanted <= {row["target_name"] for row in rows} and all(row["finished_at"] for row in rows)


def _are_well(arena: Arena, names: list[str]) -> bool:
    live = arena.deployments()
    return all(name in live and is_rolled_out(live[name]) for name in names)


def _healthy(name: str) -> Object:
    return deployment(name, 2, NAMESPACE)


def _release(arena: Arena, name: str, container: Object) -> None:
    body = {"spec": {"template": {"spec": {"containers": [{"name": "web", **container}]}}}}
    arena.cluster.patch("Deployment", NAMESPACE, name, body, patch_type="strategic", timeout_seconds=_CALL_SECONDS)


def _each(items: list[Any], act: Callable[[Any], object]) -> None:
    with ThreadPoolExecutor(max_workers=6) as pool:
        list(pool.map(act, items))
